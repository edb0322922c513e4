"""Two ways side by side: the order of the runs, the ratios and how they are printed."""

import math
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture
def sidebyside(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module; its folder is no package."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[3] / "benchmarks"))
    import sidebyside

    return sidebyside


class Clock:
    """Moves only while one of the two works, by the seconds that the run is given."""

    def __init__(self) -> None:
        self.now, self.runs = 0.0, ""

    def __call__(self) -> float:
        return self.now

    def work(self, letter: str, seconds: float) -> None:
        self.runs += letter
        self.now += seconds


def test_the_order_changes_and_ratios_are_those_of_pairs(sidebyside):
    clock, given = Clock(), iter([9.0, 3.0, 4.0, 8.0])
    found = sidebyside.compare(
        "x",
        lambda: clock.work("a", 2.0),
        lambda: clock.work("b", next(given)),
        "other",
        "goal",
        3,
        clock,
    )
    assert clock.runs == "ab" + "ab" + "ba" + "ab"
    assert (found.ours, found.other) == (2.0, 4.0)
    assert (found.ratio, found.lowest, found.highest) == (2.0, 1.5, 4.0)


def test_what_cannot_run_has_a_reason_and_no_number(sidebyside):
    clock, given = Clock(), iter([9.0, 1.0, 2.0, 6.0])
    row = sidebyside.alone("x", lambda: clock.work("a", next(given)), "fails", "none", 3, clock)
    assert row.ours == 2.0
    assert math.isnan(row.other)
    assert sidebyside.table([row]).splitlines()[2] == "| x | 2.000 | – | fails | – | none |"
