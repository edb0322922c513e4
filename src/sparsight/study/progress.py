"""What a run prints: what would run and why, progress with the time that is left, last lines."""

import ast
import csv
import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sparsight.io.errors import join_names
from sparsight.study.costs.predict import Forecast, JobKind, job_kind
from sparsight.study.versions import CODE, STAGES

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
    predicted : rule to the predicted seconds of all its jobs together.
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

        When a job that was handed to a cluster (`queued`) begins, nobody knows: the time since then
        does not count as work.
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

        `seconds` is what the job took, where that was measured.
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


#: lines about warnings, and characters of one
MOST_WARNINGS, LONGEST = 5, 160
_WARNING = re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d WARNING (.*)$")


def closing_lines(results: Path, logs: Iterable[Path | str], whole: bool) -> Iterator[str]:
    """What a run leaves behind: warnings in its jobs' logs and, where all are done, results."""
    yield from warning_lines(logs)
    figures, claims = results / "figures", results / "summary" / "claims.csv"
    if not whole or not figures.is_dir():
        return
    if claims.is_file():
        yield from verdict_lines(claims)
    yield f"Figures: {figures}   Tables: {results / 'summary'}"
    yield f"Report: run the same command with --report {results / 'report.html'}"


def warning_lines(logs: Iterable[Path | str]) -> Iterator[str]:
    """Each warning once, with the number of jobs that logged it and a log in which it stands."""
    found: dict[str, dict[str, None]] = defaultdict(dict)
    for log in logs:
        try:
            text = Path(log).read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
        for line in text.splitlines():
            if match := _WARNING.match(line):
                found[match[1]][str(log)] = None
    for message, places in list(found.items())[:MOST_WARNINGS]:
        short = message if len(message) <= LONGEST else f"{message[: LONGEST - 1]}…"
        jobs = f"{len(places)} jobs, " if len(places) > 1 else ""
        yield f"Warning: {short} ({jobs}{next(iter(places))})"
    if len(found) > MOST_WARNINGS:
        more = len(found) - MOST_WARNINGS
        yield f"{more} other warnings stand in the jobs' logs (grep WARNING)."


def verdict_lines(claims: Path) -> Iterator[str]:
    """Each primary claim with its verdict in words; of the others, verdict to their names."""
    others: dict[str, list[str]] = defaultdict(list)
    with claims.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            if row["tier"] == "primary":
                words = ": ".join(filter(None, [row["verdict"], row["verdict_reason"]]))
                yield f"Primary claim {row['name']}: {words}"
            else:
                others[row["verdict"]].append(row["name"])
    for verdict, names in sorted(others.items()):
        cut = ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")
        yield f"Other claims, {verdict}: {len(names)} ({cut})"


#: rules with lines of their own; the others share one
MOST_RULES = 20
#: why jobs run, the first that fits a job, with what the summary calls it
WHY = {
    "forced": "forced on the command line",
    "new": "their files are not there",
    "added": "their files are there, and lack",
    "incomplete": "a killed or failed run left their files incomplete",
    "version": "the version was raised of",
    "settings": "settings have changed:",
    "inputs": "input files were added, removed or changed",
    "environment": "their software environment has changed",
    "follows": "they follow, because jobs above make their inputs again",
}


@dataclass(frozen=True)
class SummaryJob:
    """A job that would run, why (a key of `WHY`), and which stages, items or settings changed."""

    rule: str
    kind: JobKind
    why: str
    changed: frozenset[str] = frozenset()

    @classmethod
    def of(
        cls, job: Any, reason: Any, stale: Mapping[str, Mapping[str, Sequence[str]]]
    ) -> "SummaryJob":
        """From Snakemake's job and its reason; `StoredEntries.stale` has files that are forced."""
        kind = job_kind(job.rule.name, job.wildcards_dict)
        for path in job.output if reason.forced else ():
            for key, found in (("version", "version"), ("settings", "settings"), ("added", "new")):
                if names := stale.get(path, {}).get(found):
                    return cls(job.rule.name, kind, key, frozenset(names))
            if path in stale:
                return cls(job.rule.name, kind, "inputs")
        key = why(reason)
        return cls(job.rule.name, kind, key, frozenset(_changed(reason).get(key, ())))


def why(reason: Any) -> str:
    """The key of `WHY` that stands for a reason of Snakemake."""
    changed = _changed(reason)
    found = {
        "forced": reason.forced,
        "new": reason.missing_output,
        "incomplete": reason.incomplete_output,
        "version": "version" in changed,
        "settings": reason.params_changed or reason.code_changed,
        "inputs": reason.input_changed or reason.updated_input - reason.updated_input_run,
        "environment": reason.software_stack_changed,
    }
    return next((key for key, holds in found.items() if holds), "follows")


def _changed(reason: Any) -> dict[str, set[str]]:
    """`version` and `settings` to the names of what differs between old and new params.

    Snakemake keeps the params of a job as a set of texts without names: one dict of settings, and
    one of versions, whose keys are stages, or kind and name of an item.
    """
    if not reason.params_changed:
        return {}
    old, new = map(_params, (reason.params_changed.only_old, reason.params_changed.only_new))
    found = {kind: set(_differences(old[kind], new[kind])) for kind in old.keys() & new.keys()}
    return {kind: names for kind, names in found.items() if names}


def _params(texts: Iterable[Any]) -> dict[str, dict[str, Any]]:
    found = {}
    for text in texts:
        with suppress(ValueError, SyntaxError):
            value = ast.literal_eval(str(text))
            if isinstance(value, dict):
                is_version = all(key in STAGES or {*" ."} & {*key} or key == CODE for key in value)
                found["version" if value and is_version else "settings"] = value
    return found


def _differences(old: Any, new: Any, name: str = "") -> Iterator[str]:
    """Dotted names of the values that differ, two levels deep."""
    for key in sorted(old.keys() | new.keys()):
        a, b = old.get(key), new.get(key)
        if a == b:
            continue
        whole = f"{name}.{key}" if name else str(key)
        if isinstance(a, dict) and isinstance(b, dict) and not name:
            yield from _differences(a, b, whole)
        else:
            yield whole


def summary_lines(jobs: Sequence[SummaryJob], forecast: Forecast) -> Iterator[str]:
    """The summary of jobs that would run, the first rules first: at most 32 lines."""
    jobs = [job for job in jobs if job.rule not in _TARGETS]
    rules = dict.fromkeys(job.rule for job in jobs)
    kinds: dict[str, Counter[JobKind]] = defaultdict(Counter)
    reasons: dict[str, Counter[str]] = defaultdict(Counter)
    for job in jobs:
        kinds[job.rule][job.kind] += 1
        reasons[job.rule][job.why] += 1
    longest = sorted(rules, key=lambda rule: -forecast.total(kinds[rule]))[:MOST_RULES]
    others = [rule for rule in rules if rule not in longest]
    width = max([len(rule) for rule in longest] + [len("98 other rules")])
    yield f"{'':{width}}     jobs  core-hours  why"

    def row(name: str, members: Sequence[str]) -> str:
        counts = sum((kinds[rule] for rule in members), Counter[JobKind]())
        whys = sum((reasons[rule] for rule in members), Counter[str]())
        words = ", ".join(f"{whys[key]} {key}" for key in WHY if whys[key])
        return f"{name:{width}} {counts.total():8,}  {_hours(counts, forecast):>10}  {words}"

    yield from (row(rule, [rule]) for rule in rules if rule in longest)
    if others:
        yield row(f"{len(others)} other rules", others)
    yield row("total", list(rules))
    for key, meaning in WHY.items():
        if of_rules := [rule for rule in rules if reasons[rule][key]]:
            names = sorted({name for job in jobs if job.why == key for name in job.changed})
            what = f"{meaning} {join_names(names, 80)}" if names else meaning
            yield f"{key}: {what} ({join_names(of_rules, 60 if names else 100 - len(meaning))})"
    if forecast.bytes:
        sizes = ", ".join(f"{kind} {size / 1e9:.2f}" for kind, size in forecast.bytes.items())
        yield f"The whole study stores {sum(forecast.bytes.values()) / 1e9:.2f} GB: {sizes}."
    unknown = sum(job.kind not in forecast.seconds for job in jobs)
    if not forecast.seconds:
        yield "Hours cannot be predicted: no job of these kinds was measured (docs/costs.md)."
    elif unknown:
        yield f"Hours leave out {unknown:,} jobs (–) of kinds that were never measured."


def time_line(forecast: Forecast, workers: int, seconds: float, critical: float) -> str:
    """How long all jobs take with so many workers and with any number, and their memory."""
    return (
        f"About {duration(seconds)} with {workers:,} job{'s' * (workers > 1)} at a time, at least "
        f"{duration(critical)} with any number, on cores like the measured ones. "
        f"Memory: up to {forecast.megabytes / 1024:.1f} GiB ({forecast.largest})."
    )


def network_line(jobs: Mapping[str, Sequence[JobKind]], forecast: Forecast) -> str:
    """What one more network takes on one core; `jobs` are those planned, by seed."""
    longest = max(forecast.total(Counter(kinds)) for kinds in jobs.values())
    return f"One more network (seed) takes about {duration(longest)} of one core."


def _hours(kinds: Counter[JobKind], forecast: Forecast) -> str:
    if not any(kind in forecast.seconds for kind in kinds):
        return "–"
    hours = forecast.total(kinds) / 3600
    return "< 0.01" if hours < 0.005 else f"{hours:,.2f}" if hours < 10 else f"{hours:,.0f}"
