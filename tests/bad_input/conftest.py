"""Bad inputs of every kind are counted; the run ends with their number."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.bad_input.counting import Tried

HERE = Path(__file__).parent
#: the test that looks at the number comes last
LAST = "test_number.py"
_TRIED = pytest.StashKey[Tried]()

# The same inputs in every run, whatever other tests load, and nothing kept between runs. Inputs are
# drawn from what a module's own fixtures have built, which no input changes.
settings.register_profile(
    "bad_input",
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(scope="session")
def tried(request: pytest.FixtureRequest) -> Tried:
    """Function that gives a bad input to the program, and counts what came of it."""
    return request.config.stash.setdefault(_TRIED, Tried())


@pytest.fixture(scope="session")
def is_whole(request: pytest.FixtureRequest) -> bool:
    """Whether all tests of this folder are part of the run."""
    ours = {item.path.name for item in request.session.items if item.path.parent == HERE}
    option = request.config.option
    return (
        not (option.keyword or getattr(option, "lf", False))
        and {path.name for path in HERE.glob("test_*.py")} <= ours
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the test that looks at the number behind all others."""
    items.sort(key=lambda item: item.path == HERE / LAST)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print how many bad inputs were tried."""
    tried = terminalreporter.config.stash.get(_TRIED, None)
    if tried is not None:
        terminalreporter.write_line(
            f"{tried.bad} bad inputs: {tried.sentences} sentences, {tried.tracebacks} tracebacks "
            f"({tried.harmless} more were harmless)"
        )
