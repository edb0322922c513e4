"""What each job cost, from the benchmark files that Snakemake writes."""

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from sparsight.analysis import tables
from sparsight.io.errors import InputError

#: of the stage `costs`: see `sparsight.study.versions`
VERSION = 1
#: MiB of memory that every job takes, since all import numpy; the client of a warm job takes 15
_SMALLEST = 40


def gather_costs(benchmarks: Iterable[Path], output: Path, settings: Mapping[str, Any]) -> None:
    """Write `costs.csv`: one row per benchmark record, sorted.

    The columns are those of `sparsight.analysis.tables`. CPU and memory are empty for a job that
    ended before Snakemake could sample it (about half a second), and for one that was started warm
    (`workflow/warm/run.py`): it ran in another process than the one that Snakemake sampled.

    Parameters
    ----------
    benchmarks : `.jsonl` files, one line per repeat of the job.
    output : the table.
    settings : `study` (for paths that do not name it) and `patterns`: the `benchmark:` paths of the
        rules, such as "results/{study}/{dataset}/benchmarks/{rule}.jsonl". The first that fits the
        *end* of a path names its rule and wildcards, so patterns may be relative. As in a rule,
        "{rule,make_controls}" takes only what fits the expression.

    Raises
    ------
    InputError
        When a file is missing, is not a benchmark, or fits no pattern.
    """
    patterns = [_expression(pattern) for pattern in settings["patterns"]]
    study = {"study": settings.get("study")}
    rows = [study | row for path in benchmarks for row in _rows(Path(path), patterns)]
    frame = pd.DataFrame(rows, columns=tables.TABLES["costs"].names)
    # Numbers sort as numbers: seed 9 before seed 10.
    frame[["seed", "level"]] = frame[["seed", "level"]].apply(pd.to_numeric).astype("Int64")
    tables.write("costs", output, frame.sort_values(list(frame.columns), ignore_index=True))


def _expression(pattern: str) -> re.Pattern[str]:
    """A path with {wildcards} as an expression that fits the end of a path."""
    # text, name and constraint in turn; the last text stands alone
    parts = iter(re.split(r"\{(\w+)(?:,([^}]*))?\}", pattern))
    text = re.escape(next(parts))
    seen: set[str] = set()
    for name, constraint, behind in zip(parts, parts, parts, strict=True):
        # Numbers follow their label in one folder name ("seed3"), all else fills its part.
        usual = "[0-9]+" if name in ("seed", "level", "epoch") else "[^/]+?"
        text += f"(?P={name})" if name in seen else f"(?P<{name}>{constraint or usual})"
        text += re.escape(behind)
        seen.add(name)
    return re.compile(rf"(?:^|.*/){text}")


def _rows(path: Path, patterns: Sequence[re.Pattern[str]]) -> Iterator[dict[str, Any]]:
    if not path.is_file():
        raise InputError(f"{path} does not exist; run snakemake again to make it")
    matches = (expression.fullmatch(path.as_posix()) for expression in patterns)
    names = next((match.groupdict() for match in matches if match), None)
    if names is None:
        raise InputError(
            f"{path} fits no benchmark pattern; add its `benchmark:` path to settings 'patterns'"
        )
    try:
        for line in filter(str.strip, path.read_text(encoding="utf-8").splitlines()):
            record = json.loads(line)
            memory = _number(record["max_rss"])
            sampled = memory >= _SMALLEST
            yield {
                **names,
                "seconds": float(record["s"]),
                "cpu_seconds": _number(record["cpu_time"]) if sampled else math.nan,
                "max_rss_mb": memory if sampled else math.nan,
            }
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{path} is not a benchmark in jsonl form ({type(error).__name__}: {error}); "
            "delete it and run its rule again"
        ) from error


def _number(value: Any) -> float:
    """Snakemake writes "NA" for what it could not sample."""
    return math.nan if value in ("NA", "-", None) else float(value)
