"""Measured studies: their configuration, their table of costs, and the jobs in it."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from sparsight.analysis import tables
from sparsight.analysis.cost_model import MeasuredJob
from sparsight.io.errors import InputError
from sparsight.study.configuration import (
    catalogue_and_study,
    completed,
    configuration_problems,
    normalised,
    overlaid,
)
from sparsight.study.costs.dry_run import PlannedJob
from sparsight.study.costs.image_counts import ImageCounts
from sparsight.study.costs.work import StudyWork, cost_job
from sparsight.study.plan import Study
from sparsight.study.problems import load_yaml


def load_study(configfile: Path | None, root: Path = Path()) -> Study:
    """The study of a file; that of `config.yaml` without one.

    Raises
    ------
    InputError
        When a file cannot be read, or the configuration is not sound.
    """
    whole = catalogue_and_study(root, own=configfile is not None)
    schema = load_yaml(root / "workflow" / "schemas" / "config.schema.yaml")
    if configfile is not None:
        whole = overlaid(whole, load_yaml(configfile))
    whole = normalised(whole)
    problems = configuration_problems(whole, schema)
    if problems:
        raise InputError(" ".join(f"Configuration: {problem}" for problem in problems))
    return Study(completed(whole, schema))


@dataclass(frozen=True)
class Measurement:
    """A study that ran.

    Attributes
    ----------
    name : of the study.
    jobs : each with its seed; None where it belongs to no seed.
    """

    name: str
    jobs: list[tuple[int | None, MeasuredJob]]


def read_measurements(file: Path) -> list[Measurement]:
    """The studies that a file lists.

    Parameters
    ----------
    file : YAML with a list `measured` of `study` (overlay) and `costs` (a `costs.csv`), from the
        current folder, and `images` where a data set held a part of its images: name to train,
        validation and test.

    Raises
    ------
    InputError
        When a file is missing or is not what it should be.
    """
    listed = load_yaml(file)
    entries = listed.get("measured") if isinstance(listed, Mapping) else None
    if not isinstance(entries, list) or not entries:
        raise InputError(f"{file} lists no measured study; see benchmarks/costs/measured.yaml")
    return [_read(entry, file) for entry in entries]


def _read(entry: Mapping[str, Any], file: Path) -> Measurement:
    missing = [key for key in ("study", "costs") if key not in entry]
    if missing:
        raise InputError(f"{file}: an entry of `measured` has no {missing[0]}; add it")
    study = load_study(Path(entry["study"]))
    work = StudyWork(study, ImageCounts(study, entry.get("images")))
    return Measurement(study.name, list(_jobs(Path(entry["costs"]), work)))


def _jobs(table: Path, work: StudyWork) -> Iterator[tuple[int | None, MeasuredJob]]:
    for row in tables.read("costs", table).itertuples(index=False):
        wildcards = {
            name: str(getattr(row, name))
            for name in ("dataset", "model", "seed", "pruner", "level", "family")
            if not pd.isna(getattr(row, name)) and getattr(row, name) != ""
        }
        if row.rule == "make_epoch_point":
            wildcards["epoch"] = wildcards.pop("family", "0")
        try:
            job = cost_job(work, PlannedJob(str(row.rule), wildcards))
        except (KeyError, StopIteration) as error:
            raise InputError(
                f"{table} has a job of {row.rule} that {work.study.name} does not have "
                f"({wildcards}); name the configuration with which it ran"
            ) from error
        seed = int(wildcards["seed"]) if "seed" in wildcards else None
        seconds, memory = float(row.seconds), float(row.max_rss_mb)  # type: ignore[arg-type]
        if math.isfinite(seconds):
            yield seed, MeasuredJob(job, seconds, memory)


def read_images(file: Path) -> dict[str, dict[str, int]]:
    """Images of data sets: name to train, validation and test.

    Raises
    ------
    InputError
        When the file cannot be read or says something else.
    """
    found = load_yaml(file)
    if not all(map(_are_splits, found.values())):
        raise InputError(
            f"{file} must hold lines like `cub200_64: {{train: 300, test: 243}}`, with "
            "`validation` where there are such images"
        )
    return {name: dict(splits) for name, splits in found.items()}


def _are_splits(given: Any) -> bool:
    return (
        isinstance(given, Mapping)
        and {"train", "test"} <= set(given) <= {"train", "validation", "test"}
        and all(type(count) is int and count >= 0 for count in given.values())
    )
