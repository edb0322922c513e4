"""How many jobs run at a time changes no number."""

from tests.workflow.project import Project
from tests.workflow.test_resume import RULES


def test_one_core_makes_the_tables_of_two(fresh: Project, finished_once: Project) -> None:
    fresh.run("--cores", "1", *RULES.split())
    assert fresh.tables() == finished_once.tables()
