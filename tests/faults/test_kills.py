"""A study killed at random moments and resumed each time has the tables of an undisturbed run."""

import random
import shutil
import signal
import time
from collections import Counter
from collections.abc import Callable

import pytest

from tests.faults.conftest import Undisturbed
from tests.faults.study import JOBS, Strike, files, log_of, resume, start_resuming, tables
from tests.workflow.project import Project

pytestmark = pytest.mark.faults

SEED = 20240229
KILLS = 30
#: every fifth is a SIGTERM
TERMINATIONS = 5
#: The latest moment, as a share of the time that the undisturbed run took. What is done is kept, so
#: that the moments of one study's kills, taken together, lie all over its course; unlocking and
#: planning take about a fifth.
LATEST = 0.5


def test_it_completes_with_equal_tables_however_often_it_is_killed(
    fresh: Project, undisturbed: Undisturbed, say: Callable[[str], None]
) -> None:
    draw = random.Random(SEED)
    survived: Counter[str] = Counter()
    pending: list[str] = []
    studies = 0

    def completed() -> None:
        """What lies there is the study, and nothing else; all kills up to now were survived."""
        nonlocal studies
        assert tables(fresh) == undisturbed.tables
        assert files(fresh) == files(undisturbed.project)
        survived.update(pending)
        pending.clear()
        studies += 1

    seconds, from_nothing = undisturbed.seconds, True
    for number in range(KILLS):
        kind = signal.SIGKILL if number % TERMINATIONS else signal.SIGTERM
        share = draw.uniform(0, LATEST)
        started = time.monotonic()
        while (doing := Strike(kind, share * seconds).at(process := start_resuming(fresh))) is None:
            # It had completed before: begin again, the moment is still to come. A machine that
            # other work has left is faster than when the undisturbed run was timed.
            assert process.returncode == 0, log_of(fresh)[-6000:]
            if from_nothing:
                seconds = min(seconds, time.monotonic() - started)
            completed()
            for part in ("results", "data"):
                shutil.rmtree(fresh.folder / part)
            started, from_nothing = time.monotonic(), True
        from_nothing = False
        pending += [kind.name, doing]
    resume(fresh)
    completed()
    kinds = [kind.name for kind in (signal.SIGKILL, signal.SIGTERM)]
    assert sum(survived[kind] for kind in kinds) == KILLS
    counts = ", ".join(f"{survived[kind]} {kind}" for kind in kinds)
    doings = ", ".join(
        f"{count} while {doing}" for doing, count in survived.items() if doing not in kinds
    )
    say(
        f"{KILLS} kills survived ({counts}; {doings}): {studies} studies of {JOBS} jobs completed "
        "with the tables of an undisturbed run"
    )
