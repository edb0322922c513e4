"""The last lines of a run: warnings of its jobs, verdicts of claims, figures and report."""

import csv
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

#: lines about warnings, and characters of one
MOST_WARNINGS, LONGEST = 5, 160
_WARNING = re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d WARNING (.*)$")


def closing_lines(results: Path, logs: Iterable[Path | str], whole: bool) -> Iterator[str]:
    """What a run leaves behind.

    Parameters
    ----------
    results : folder of the study.
    logs : of the jobs that ran.
    whole : whether all its jobs are done; otherwise only the warnings are told.
    """
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
    """Verdict to the names of its claims."""
    verdicts: dict[str, list[str]] = defaultdict(list)
    with claims.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            verdicts[row["verdict"]].append(row["name"])
    for verdict, names in sorted(verdicts.items()):
        cut = ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")
        yield f"Claims {verdict}: {len(names)} ({cut})"
