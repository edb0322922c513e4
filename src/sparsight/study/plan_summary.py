"""What would run, in at most 40 lines: jobs and hours by rule, bytes, and why they run."""

import ast
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sparsight.study.costs.forecast import Forecast, JobKind, job_kind
from sparsight.study.phrases import listed
from sparsight.study.versions import CODE, STAGES

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
    """A job that would run: its rule, its kind (see `job_kind`), and a key of `WHY`.

    `changed` names the stages and items, or the settings, that make it run.
    """

    rule: str
    kind: JobKind
    why: str
    changed: frozenset[str] = frozenset()

    @classmethod
    def of(
        cls, job: Any, reason: Any, stale: Mapping[str, Mapping[str, Sequence[str]]]
    ) -> "SummaryJob":
        """From Snakemake's job and its reason.

        `stale` is that of `sparsight.study.stored_entries.StoredEntries`: such files are forced.
        """
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
    found: dict[str, set[str]] = {}
    if not reason.params_changed:
        return found
    sides: list[dict[str, dict[str, Any]]] = []
    for texts in (reason.params_changed.only_old, reason.params_changed.only_new):
        dicts: dict[str, dict[str, Any]] = {}
        for text in texts:
            try:
                value = ast.literal_eval(str(text))
            except (ValueError, SyntaxError):
                continue
            if isinstance(value, dict):
                is_version = all(key in STAGES or {*" ."} & {*key} or key == CODE for key in value)
                dicts["version" if value and is_version else "settings"] = value
        sides.append(dicts)
    old, new = sides
    for kind in old.keys() & new.keys():
        found[kind] = set(_differing(old[kind], new[kind]))
    return {kind: names for kind, names in found.items() if names}


def _differing(old: Any, new: Any, name: str = "") -> Iterator[str]:
    """Dotted names of the values that differ, two levels deep."""
    for key in sorted(old.keys() | new.keys()):
        a, b = old.get(key), new.get(key)
        if a == b:
            continue
        whole = f"{name}.{key}" if name else str(key)
        if isinstance(a, dict) and isinstance(b, dict) and not name:
            yield from _differing(a, b, whole)
        else:
            yield whole


def summary_lines(
    jobs: Sequence[SummaryJob], forecast: Forecast, targets: Collection[str] = ("all",)
) -> Iterator[str]:
    """The summary, at most 32 lines.

    Parameters
    ----------
    jobs : that would run, the first rules first.
    forecast : of their seconds, and of the study's bytes.
    targets : rules that do nothing themselves.
    """
    jobs = [job for job in jobs if job.rule not in targets]
    rules = dict.fromkeys(job.rule for job in jobs)
    kinds: dict[str, Counter[JobKind]] = defaultdict(Counter)
    reasons: dict[str, Counter[str]] = defaultdict(Counter)
    for job in jobs:
        kinds[job.rule][job.kind] += 1
        reasons[job.rule][job.why] += 1
    longest = sorted(rules, key=lambda rule: -forecast.total(kinds[rule]))[:MOST_RULES]
    shown = [rule for rule in rules if rule in longest]
    others = [rule for rule in rules if rule not in longest]
    width = max([len(rule) for rule in shown] + [len("98 other rules")])
    yield f"{'':{width}}     jobs  core-hours  why"

    def row(name: str, members: Sequence[str]) -> str:
        counts = sum((kinds[rule] for rule in members), Counter[JobKind]())
        whys = sum((reasons[rule] for rule in members), Counter[str]())
        words = ", ".join(f"{whys[key]} {key}" for key in WHY if whys[key])
        return f"{name:{width}} {counts.total():8,}  {_hours(counts, forecast):>10}  {words}"

    for rule in shown:
        yield row(rule, [rule])
    if others:
        yield row(f"{len(others)} other rules", others)
    yield row("total", list(rules))
    for key, meaning in WHY.items():
        if of_rules := [rule for rule in rules if reasons[rule][key]]:
            names = sorted({name for job in jobs if job.why == key for name in job.changed})
            what = f"{meaning} {listed(names, 80)}" if names else meaning
            yield f"{key}: {what} ({listed(of_rules, 60 if names else 100 - len(meaning))})"
    if forecast.bytes:
        sizes = ", ".join(f"{kind} {size / 1e9:.2f}" for kind, size in forecast.bytes.items())
        yield f"The whole study stores {sum(forecast.bytes.values()) / 1e9:.2f} GB: {sizes}."
    unknown = sum(job.kind not in forecast.seconds for job in jobs)
    if not forecast.seconds:
        yield "Hours cannot be predicted: python -m sparsight.study.costs.predict says why."
    elif unknown:
        yield f"Hours leave out {unknown:,} jobs (–) of kinds that were never measured."


def _hours(kinds: Counter[JobKind], forecast: Forecast) -> str:
    if not any(kind in forecast.seconds for kind in kinds):
        return "–"
    hours = forecast.total(kinds) / 3600
    return "< 0.01" if hours < 0.005 else f"{hours:,.2f}" if hours < 10 else f"{hours:,.0f}"
