"""What each job cost, from the benchmark files that Snakemake writes."""

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from sparsight.analysis import tables
from sparsight.io.errors import InputError

#: of the stage `costs`: see `sparsight.study.versions`
VERSION = 1

COST_KEYS = ["rule", "study", "dataset", "model", "seed", "pruner", "level", "family"]


def gather_costs(benchmarks: Iterable[Path], output: Path, settings: Mapping[str, Any]) -> None:
    """Write `costs.csv`: one row per benchmark record, sorted.

    The columns are those of `sparsight.analysis.tables`. CPU and memory are empty for a job that
    ended before Snakemake could sample it (about half a second).

    Parameters
    ----------
    benchmarks : `.jsonl` files, one line per repeat of the job.
    output : the table.
    settings : `study` (for paths that do not name it) and `patterns`: the `benchmark:` paths of the
        rules, such as "results/{study}/{dataset}/benchmarks/{rule}.jsonl". The first that fits the
        *end* of a path names its rule and wildcards, so patterns may be relative. As in a rule,
        "{rule,make_controls}" takes only what fits the expression. A mapping of rule to pattern
        serves paths that do not name their rule. Records written with `--benchmark-extended` name
        themselves and need no pattern.

    Raises
    ------
    InputError
        When a file is missing, is not a benchmark, or fits no pattern.
    """
    patterns = _compile(settings.get("patterns", ()))
    rows = [row for path in benchmarks for row in _read_one(Path(path), patterns)]
    for row in rows:
        row["study"] = row["study"] or settings.get("study")
    frame = pd.DataFrame(rows, columns=tables.TABLES["costs"].names)
    # Numbers sort as numbers: seed 9 before seed 10.
    frame[["seed", "level"]] = frame[["seed", "level"]].apply(pd.to_numeric).astype("Int64")
    tables.write("costs", output, frame.sort_values(list(frame.columns), ignore_index=True))


def _compile(
    patterns: Sequence[str] | Mapping[str, str],
) -> list[tuple[str | None, re.Pattern[str]]]:
    named: Iterable[tuple[str | None, str]]
    if isinstance(patterns, Mapping):
        named = sorted(patterns.items())
    else:
        named = [(None, pattern) for pattern in patterns]
    return [(rule, _expression(pattern)) for rule, pattern in named]


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


def _read_one(
    path: Path, patterns: Sequence[tuple[str | None, re.Pattern[str]]]
) -> Iterable[dict[str, Any]]:
    if not path.is_file():
        raise InputError(f"{path} does not exist; run snakemake again to make it")
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        records = [json.loads(line) for line in lines if line.strip()]
        costs = [_cost(record) for record in records]
        names = [_own_names(record) for record in records]
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise InputError(
            f"{path} is not a benchmark in jsonl form ({type(error).__name__}: {error}); "
            "delete it and run its rule again"
        ) from error
    named = [_names_in_path(path, patterns) if own is None else own for own in names]
    return [
        {**{key: found.get(key) for key in COST_KEYS}, **cost}
        for found, cost in zip(named, costs, strict=True)
    ]


def _own_names(record: Mapping[str, Any]) -> dict[str, Any] | None:
    """Rule and wildcards of an extended record."""
    if "rule_name" not in record:
        return None
    return {**record["wildcards"], "rule": record["rule_name"]}


def _names_in_path(
    path: Path, patterns: Sequence[tuple[str | None, re.Pattern[str]]]
) -> dict[str, Any]:
    for rule, expression in patterns:
        match = expression.fullmatch(path.as_posix())
        if match:
            return match.groupdict() | ({} if rule is None else {"rule": rule})
    raise InputError(
        f"{path} fits no benchmark pattern; add its `benchmark:` path to settings 'patterns'"
    )


def _cost(record: Mapping[str, Any]) -> dict[str, float]:
    return {
        "seconds": float(record["s"]),
        "cpu_seconds": _number(record["cpu_time"]),
        "max_rss_mb": _number(record["max_rss"]),
    }


def _number(value: Any) -> float:
    """Snakemake writes "NA" for what it could not sample."""
    return math.nan if value in ("NA", "-", None) else float(value)
