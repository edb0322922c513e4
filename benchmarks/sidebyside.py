"""Measure two ways of doing the same side by side, in turn, in one process."""

import math
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Where the other way cannot run, `other` and the ratios are NaN and `other_name` says why.

    Attributes
    ----------
    name : what is measured.
    ours, other : median seconds, or what `unit` says.
    other_name : what ours is measured against.
    ratio : median over the pairs of other / ours: above 1, ours is faster.
    lowest, highest : smallest and largest ratio of a pair.
    goal : what the ratio should be, in words.
    unit : of `ours` and `other`.
    """

    name: str
    ours: float
    other: float
    other_name: str
    ratio: float
    lowest: float
    highest: float
    goal: str
    unit: str = "s"


def compare(
    name: str,
    ours: Callable[[], object],
    other: Callable[[], object],
    other_name: str,
    goal: str,
    pairs: int = 5,
    clock: Callable[[], float] = time.perf_counter,
) -> Row:
    """Run both once unmeasured, then in turn `pairs` times; the order changes from pair to pair."""
    ours(), other()
    found = []
    for index in range(pairs):
        first, second = (ours, other) if index % 2 == 0 else (other, ours)
        a, b = _seconds(first, clock), _seconds(second, clock)
        found.append((a, b) if index % 2 == 0 else (b, a))
    ratios = [b / a for a, b in found]
    return Row(
        name,
        statistics.median(a for a, _ in found),
        statistics.median(b for _, b in found),
        other_name,
        statistics.median(ratios),
        min(ratios),
        max(ratios),
        goal,
    )


def alone(
    name: str,
    ours: Callable[[], object],
    why: str,
    goal: str,
    repeats: int = 5,
    clock: Callable[[], float] = time.perf_counter,
) -> Row:
    """Ours where there is nothing to run beside it; `why` says so. Run once unmeasured."""
    ours()
    seconds = statistics.median(_seconds(ours, clock) for _ in range(repeats))
    return Row(name, seconds, math.nan, why, math.nan, math.nan, math.nan, goal)


def _seconds(work: Callable[[], object], clock: Callable[[], float]) -> float:
    started = clock()
    work()
    return clock() - started


def table(rows: list[Row]) -> str:
    """The rows as a Markdown table."""
    lines = [
        "| measured | ours, s | other, s | other | other / ours (range) | goal |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        spread = f"{row.ratio:.2f} ({row.lowest:.2f}–{row.highest:.2f})"
        unit = "" if row.unit == "s" else f" {row.unit}"
        other = f"{row.other:.3f}{unit}"
        if math.isnan(row.other):
            other = spread = "–"
        lines.append(
            f"| {row.name} | {row.ours:.3f}{unit} | {other} | {row.other_name} "
            f"| {spread} | {row.goal} |"
        )
    return "\n".join(lines)
