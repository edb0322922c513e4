"""How far a run is: a line for each finished job, with the time that is left."""

import json
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

#: wildcards whose values say nothing without their name
_NUMBERS = ("seed", "level", "epoch")
#: targets, which do nothing themselves
_TARGETS = frozenset({"all"})
#: seconds of finished jobs against which "as long as predicted" weighs as much
_TRUST = 60.0


@dataclass
class RunProgress:
    """Follows the jobs of a run. Times are seconds of any clock that does not go back.

    Time left is what the jobs that are left will take, less what running ones have had, divided by
    how many jobs' seconds have passed in a second so far. A job takes what was predicted for it,
    times how much longer than predicted the finished jobs of its rule took. A rule of which none
    has finished goes by the finished jobs of all rules. Without a prediction, jobs take as long as
    the finished ones of their rule; without finished ones either, they are counted and not guessed.

    Parameters
    ----------
    planned : rule to the number of jobs.
    begun : when the run began.
    predicted : rule to the predicted seconds of its jobs, as a sum over all of them.
    """

    planned: Mapping[str, int]
    begun: float
    predicted: Mapping[str, float] = field(default_factory=dict)
    _running: dict[int, "_Job"] = field(default_factory=dict)
    _spent: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    def __post_init__(self) -> None:
        self.planned = {rule: n for rule, n in self.planned.items() if rule not in _TARGETS}

    def started(self, number: int, rule: str, what: str, now: float, queued: bool = False) -> str:
        """A job starts; a line where it is the first of its rule, otherwise nothing.

        Parameters
        ----------
        queued : it was handed to a cluster: nobody knows when it really begins, so that the time
            since does not count as work.
        """
        if rule in _TARGETS:
            return ""
        first = not self._spent.get(rule) and all(j.rule != rule for j in self._running.values())
        self._running[number] = _Job(rule, what, now, queued)
        return f"{self._count()}  {rule}  {what}  started" if first else ""

    def failed(self, number: int) -> None:
        """A job failed; whether it is tried again will be seen."""
        self._running.pop(number, None)

    def finished(self, number: int, now: float, seconds: float | None = None) -> str:
        """A job is done; its line, or nothing for a target.

        Parameters
        ----------
        seconds : what the job took, where that was measured; otherwise the time since its start.
        """
        job = self._running.pop(number, None)
        if job is None:
            return ""
        took = now - job.begun if seconds is None else seconds
        self._spent[job.rule].append(took)
        ending = "done" if self.done == self.total else self._left(now)
        return f"{self._count()}  {job.rule}  {job.what}  {duration(took)}; {ending}"

    @property
    def done(self) -> int:
        """Finished jobs."""
        return sum(map(len, self._spent.values()))

    @property
    def total(self) -> int:
        """All jobs of the run."""
        return sum(self.planned.values())

    def opening(self, now: float) -> str:
        """The line of a run whose jobs have been predicted."""
        return f"{self._count()}  {self._left(now)}"

    def seconds_of(self, rule: str) -> float | None:
        """What a job of a rule is expected to take; None where nothing is known of it."""
        spent, count = self._spent.get(rule, []), self.planned.get(rule, 0)
        if rule not in self.predicted or not count:
            return sum(spent) / len(spent) if spent else None
        mean = self.predicted[rule] / count
        # A rule's own jobs count against one job that goes as all others went.
        return (sum(spent) + mean * self._slower()) / (len(spent) + 1)

    def _slower(self) -> float:
        """How many times longer than predicted finished jobs took; about 1 in the first minute."""
        timed = [rule for rule in self._spent if rule in self.predicted and self.planned.get(rule)]
        took = sum(sum(self._spent[rule]) for rule in timed)
        expected = sum(
            self.predicted[rule] / self.planned[rule] * len(self._spent[rule]) for rule in timed
        )
        return (took + _TRUST) / (expected + _TRUST)

    def seconds_left(self, now: float) -> float:
        """Estimated seconds that the jobs left of rules of which something is known will take."""
        running = Counter[str]()
        had = defaultdict[str, float](float)
        for job in self._running.values():
            running[job.rule] += 1
            had[job.rule] += 0.0 if job.queued else now - job.begun
        work = 0.0
        for rule, count in self.planned.items():
            mean = self.seconds_of(rule)
            if mean is None:
                continue
            # A running job can have had more than the mean; it does not take from the waiting ones.
            waiting = max(count - len(self._spent.get(rule, ())) - running[rule], 0) * mean
            work += waiting + max(running[rule] * mean - had[rule], 0.0)
        finished = sum(map(sum, self._spent.values()))
        done = finished + sum(had.values())
        pace = done / max(now - self.begun, 1e-9) if done else 1.0
        return work / max(pace, 1e-9)

    def _left(self, now: float) -> str:
        """Jobs left, the time that they will take, and how many are not in it."""
        left = self.total - self.done
        words = f"{left} job{'s' if left > 1 else ''} left"
        untimed = sum(n for rule, n in self.planned.items() if self.seconds_of(rule) is None)
        if untimed >= left:
            return words
        seconds = self.seconds_left(now)
        if not untimed:
            return f"{words}, about {duration(seconds)}"
        about = f"about {duration(seconds)} and " if seconds else ""
        return f"{words}, {about}{untimed} not timed yet"

    def _count(self) -> str:
        width = len(str(self.total))
        share = 100 * self.done // self.total if self.total else 100
        return f"{self.done:{width}d}/{self.total} {share:3d}%"


@dataclass(frozen=True)
class _Job:
    rule: str
    what: str
    begun: float
    queued: bool


def wildcard_text(wildcards: Mapping[str, str]) -> str:
    """What a job works on, such as `digits cnn seed3 random level02 cam`."""
    return " ".join(
        f"{name}{value}" if name in _NUMBERS else str(value) for name, value in wildcards.items()
    )


def duration(seconds: float) -> str:
    """A time in two units at most: 8 s, 1 min 51 s, 3 h 20 min, 2 d 4 h."""
    whole = round(seconds)
    for unit, size, smaller, part in (("d", 86400, "h", 3600), ("h", 3600, "min", 60)):
        if whole >= size:
            return f"{whole // size} {unit} {whole % size // part} {smaller}"
    return f"{whole // 60} min {whole % 60} s" if whole >= 60 else f"{whole} s"


def benchmark_seconds(path: Path | str | None) -> float | None:
    """Seconds in the last line of a benchmark file; None where there is no such number."""
    try:
        lines = Path(path or "").read_text(encoding="utf-8").splitlines()
        return float(json.loads(lines[-1])["s"])
    except (OSError, ValueError, IndexError, KeyError, TypeError):
        return None
