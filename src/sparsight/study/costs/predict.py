"""Predict what a study will cost: `python -m sparsight.study.costs.predict --configfile FILE`."""

import argparse
import heapq
import math
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from sparsight.analysis import tables
from sparsight.analysis.cost_model import START, CostModel, MeasuredJob
from sparsight.io.errors import InputError
from sparsight.study.configuration import (
    catalogue_and_study,
    normalised,
    overlaid,
    resolve,
)
from sparsight.study.costs.work import (
    UNITS,
    ImageCounts,
    PlannedJob,
    StudyWork,
    cost_job,
    predicted_bytes,
)
from sparsight.study.plan import Study
from sparsight.study.yaml_files import load_yaml

#: the studies that ran
MEASURED = Path("benchmarks/costs/measured.yaml")
#: all jobs, whatever is finished; without a profile, whose limits hide what a rule asks for
OPTIONS = ("--dry-run", "--forceall", "--workflow-profile", "none", "--quiet", "reason")
_START = re.compile(r"^(?:local)?rule (\w+):$")
_FACT = re.compile(r"^    (\w+): (.*)$")


def dry_run(configfile: Path | None) -> list[PlannedJob]:
    """All jobs of a study, by a dry run in the current folder.

    Parameters
    ----------
    configfile : a study; None, that of `config.yaml`.

    Raises
    ------
    InputError
        When the workflow refuses the configuration, with what it says, or is not there.
    """
    if not Path("Snakefile").is_file():
        raise InputError("There is no Snakefile here; change to the project's folder")
    chosen = [] if configfile is None else ["--configfile", str(configfile)]
    command = [sys.executable, "-m", "snakemake", *OPTIONS, *chosen]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise InputError(f"The dry run failed: {done.stderr.strip() or done.stdout.strip()}")
    return planned_jobs((done.stdout + "\n" + done.stderr).splitlines())


def planned_jobs(lines: Iterable[str]) -> list[PlannedJob]:
    """The jobs of a printed dry run, in its order, the target `all` left out."""
    found: list[tuple[str, dict[str, str]]] = []
    inside = False
    for line in lines:
        if started := _START.match(line.rstrip("\n")):
            found.append((started[1], {}))
            inside = True
        elif inside and (fact := _FACT.match(line.rstrip("\n"))):
            found[-1][1][fact[1]] = fact[2]
        else:
            inside = False
    return [_planned_job(rule, facts) for rule, facts in found if rule != "all"]


def _planned_job(rule: str, facts: Mapping[str, str]) -> PlannedJob:
    texts = defaultdict(list, {key: text.split(", ") for key, text in facts.items()})
    wildcards, resources = (
        dict(part.split("=", 1) for part in texts[key] if "=" in part)
        for key in ("wildcards", "resources")
    )
    return PlannedJob(
        rule,
        wildcards,
        tuple(texts["input"]),
        tuple(texts["output"]),
        gpu=int(resources.get("gpu", "0")) > 0,
        memory_mb=int(resources.get("mem_mb", "0")),
    )


class Schedule(NamedTuple):
    """Seconds from the start of the first job to the end of the last.

    `seconds` with the given workers; `critical` with any number of them: the longest chain of jobs
    that wait for each other.
    """

    seconds: float
    critical: float


def schedule(
    jobs: Sequence[PlannedJob], seconds: Sequence[float], cores: int, gpus: int
) -> Schedule:
    """Run jobs in turn, each as soon as its inputs are there, on the first free worker.

    Parameters
    ----------
    seconds : of each job.
    cores : jobs at a time that need no GPU.
    gpus : jobs at a time that ask for one; 0 where they run on the cores, as the others do.
    """
    maker = {path: index for index, job in enumerate(jobs) for path in job.outputs}
    waits = [{maker[path] for path in job.inputs if path in maker} for job in jobs]
    after = defaultdict(list)
    for index, needed in enumerate(waits):
        for other in needed:
            after[other].append(index)
    missing = [len(needed) for needed in waits]
    critical = [0.0] * len(jobs)
    on_gpu = [bool(gpus) and job.gpu for job in jobs]
    free = {True: gpus, False: cores}
    ready: dict[bool, list[int]] = {True: [], False: []}
    for index, count in enumerate(missing):
        if not count:
            heapq.heappush(ready[on_gpu[index]], index)
    running: list[tuple[float, int]] = []
    clock = 0.0
    while running or any(ready.values()):
        for kind, queue in ready.items():
            while queue and free[kind]:
                index = heapq.heappop(queue)
                free[kind] -= 1
                heapq.heappush(running, (clock + seconds[index], index))
        clock, index = heapq.heappop(running)
        free[on_gpu[index]] += 1
        critical[index] += seconds[index]
        for other in after[index]:
            critical[other] = max(critical[other], critical[index])
            missing[other] -= 1
            if not missing[other]:
                heapq.heappush(ready[on_gpu[other]], other)
    return Schedule(clock, max(critical, default=0.0))


def predict(
    model: CostModel,
    work: StudyWork,
    jobs: Sequence[PlannedJob],
    cores: int,
    gpus: int = 0,
    speedup: float = 1.0,
) -> tuple[pd.DataFrame, Schedule]:
    """Predict the jobs of a study.

    Parameters
    ----------
    cores, gpus : how many jobs run at a time; without GPUs, those that ask for one run on the
        cores.
    speedup : by how much the work of a job is faster on a GPU than where it was measured; its start
        is not.

    Returns
    -------
    A row per rule: number of `jobs`, and of those of a kind that was never measured (`unknown`,
    which count nothing); whether they use a `gpu`; their `seconds` together; and, of one job, the
    largest memory (`megabytes`, MiB) and what it reserves at its first attempt (`reserved`, MB).
    And the wall time.
    """
    rows = []
    for job in jobs:
        found = cost_job(work, job)
        cost = model.predict(found) if model.knows(found) else None
        on_gpu = bool(gpus) and job.gpu
        seconds = cost.start + cost.work / (speedup if on_gpu else 1.0) if cost else 0.0
        megabytes = cost.megabytes if cost else 0.0
        rows.append((job.rule, cost is None, on_gpu, seconds, megabytes, job.memory_mb))
    columns = ["rule", "unknown", "gpu", "seconds", "megabytes", "reserved"]
    frame = pd.DataFrame(rows, columns=columns)
    rules = frame.groupby("rule", sort=False).agg(
        jobs=("seconds", "size"),
        unknown=("unknown", "sum"),
        gpu=("gpu", "max"),
        seconds=("seconds", "sum"),
        megabytes=("megabytes", "max"),
        reserved=("reserved", "max"),
    )
    return rules, schedule(jobs, frame["seconds"].tolist(), cores, gpus)


def prediction_lines(
    name: str,
    rules: pd.DataFrame,
    time: Schedule,
    sizes: Mapping[str, int],
    options: argparse.Namespace,
) -> Iterator[str]:
    """Totals, a row for each rule, bytes, and what could not be predicted, as Markdown."""
    workers = f"{options.cores} cores"
    if options.gpus:
        workers += (
            f" and {options.gpus} GPUs, assumed to do the work of a job {options.gpu_speedup:g} "
            "times as fast as a measured core"
        )
    yield f"{name}: {rules['jobs'].sum()} jobs on {workers}"
    yield ""
    yield f"* wall time: {_time(time.seconds)}"
    yield f"* no less with any number of workers (chains): {_time(time.critical)}"
    on_gpu = rules["seconds"][rules["gpu"]].sum()
    on_cores = rules["seconds"].sum() - on_gpu
    yield f"* core-hours: {on_cores / 3600:.1f}, GPU-hours: {on_gpu / 3600:.1f}"
    yield f"* largest memory of a job: {rules['megabytes'].max() / 1024:.1f} GiB"
    if unknown := rules["unknown"].sum():
        yield f"* not in these numbers: {unknown} jobs of kinds that were never measured"
    kinds = ", ".join(f"{kind} {size / 1e9:.2f}" for kind, size in sizes.items())
    yield f"* disk, GB: {sum(sizes.values()) / 1e9:.2f} ({kinds})"
    yield ""
    yield "| rule | jobs | hours | a job, s | memory, MiB | reserved, MB |"
    yield "|---|---|---|---|---|---|"
    for rule, cost in rules.sort_values("seconds", ascending=False, kind="stable").iterrows():
        known = cost["jobs"] - cost["unknown"]
        count, row = f"{cost['jobs']}", "not measured | | "
        if known:
            count += f", {cost['unknown']} not measured" if cost["unknown"] else ""
            each = cost["seconds"] / known
            row = f"{cost['seconds'] / 3600:.2f} | {each:.1f} | {cost['megabytes']:.0f}"
        yield f"| {rule} | {count} | {row} | {cost['reserved']} |"


def _time(seconds: float) -> str:
    return f"{seconds / 3600:.1f} h" if seconds < 48 * 3600 else f"{seconds / 86400:.1f} days"


def fitted_lines(model: CostModel) -> Iterator[str]:
    """The fitted coefficients as Markdown, a row for each kind of jobs."""
    yield "| jobs | measured | start, s | seconds per unit of work | memory, MiB |"
    yield "|---|---|---|---|---|"
    for kind, fit in sorted(model.fits.items()):
        work, memory = (
            [(name, value) for name, value in of.items() if name != START and value]
            for of in (fit.seconds, fit.megabytes)
        )
        units = ", ".join(f"{value:.3g} × {unit}" for unit, value in work) or "–"
        more = " ".join(f"+ {value:.0f} × {name}" for name, value in memory)
        start, least = fit.seconds[START], fit.megabytes[START]
        yield f"| {kind} | {fit.jobs} | {start:.1f} | {units} | {least:.0f} {more} |"
    yield ""
    yield from (f"* `{unit}`: {meaning}" for unit, meaning in UNITS.items())
    yield "* `batch`: 10⁹ numbers that layers put out for a batch; `data`: GB of training images"


def load_study(configfile: Path | None, root: Path = Path()) -> Study:
    """The study of a file; that of `config.yaml` without one.

    Raises
    ------
    InputError
        When a file cannot be read, or the configuration is not sound.
    """
    whole = catalogue_and_study(root, own=configfile is not None)
    if configfile is not None:
        whole = overlaid(whole, load_yaml(configfile))
    whole, problems = resolve(normalised(whole))
    if problems:
        raise InputError(" ".join(f"Configuration: {problem}" for problem in problems))
    return Study(whole)


class Measurement(NamedTuple):
    """A study that ran: its jobs, each with its seed, None where it belongs to no seed."""

    name: str
    jobs: list[tuple[int | None, MeasuredJob]]


def read_measurements(file: Path) -> list[Measurement]:
    """The studies that a file lists.

    Parameters
    ----------
    file : YAML with a list `measured` of `study` (a file) and `costs` (a `costs.csv`), from the
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
    found = []
    for entry in entries:
        missing = [key for key in ("study", "costs") if key not in entry]
        if missing:
            raise InputError(f"{file}: an entry of `measured` has no {missing[0]}; add it")
        study = load_study(Path(entry["study"]))
        work = StudyWork(study, ImageCounts(study, entry.get("images")))
        found.append(Measurement(study.name, list(_measured_jobs(Path(entry["costs"]), work))))
    return found


def _measured_jobs(table: Path, work: StudyWork) -> Iterator[tuple[int | None, MeasuredJob]]:
    names = ("dataset", "model", "seed", "pruner", "level", "family")
    for row in tables.read("costs", table).to_dict("records"):
        wildcards = {n: str(row[n]) for n in names if not pd.isna(row[n]) and row[n] != ""}
        if row["rule"] == "make_epoch_point":
            wildcards["epoch"] = wildcards.pop("family", "0")
        try:
            job = cost_job(work, PlannedJob(row["rule"], wildcards))
        except (KeyError, StopIteration) as error:
            raise InputError(
                f"{table} has a job of {row['rule']} that {work.study.name} does not have "
                f"({wildcards}); name the configuration with which it ran"
            ) from error
        if math.isfinite(row["seconds"]):
            seed = int(wildcards["seed"]) if "seed" in wildcards else None
            yield seed, MeasuredJob(job, float(row["seconds"]), float(row["max_rss_mb"]))


def read_images(file: Path) -> dict[str, dict[str, int]]:
    """Images of data sets: name to train, validation and test.

    Raises
    ------
    InputError
        When the file cannot be read or says something else.
    """
    found = load_yaml(file)
    for splits in found.values():
        names = set(splits) if isinstance(splits, Mapping) else set()
        if not {"train", "test"} <= names <= {"train", "validation", "test"} or not all(
            type(count) is int and count >= 0 for count in splits.values()
        ):
            raise InputError(
                f"{file} must hold lines like `cub200_64: {{train: 300, test: 243}}`, with "
                "`validation` where there are such images"
            )
    return {name: dict(splits) for name, splits in found.items()}


def prediction_error(fitted: Iterable[MeasuredJob], tested: Iterable[MeasuredJob]) -> pd.DataFrame:
    """Fit some jobs and predict others: `rule`, `measured` and `predicted` seconds of each.

    Of kinds of jobs that were not fitted, nothing is predicted (NaN).
    """
    model = CostModel(fitted)
    rows = [
        (
            one.job.key[0],
            one.seconds,
            model.predict(one.job).seconds if model.knows(one.job) else math.nan,
        )
        for one in tested
    ]
    frame = pd.DataFrame(rows, columns=["rule", "measured", "predicted"])
    return frame.astype({"measured": float, "predicted": float})


def check_lines(measured: Sequence[Measurement]) -> Iterator[str]:
    """A table of errors, by study and by the rules that take most of its time, as Markdown.

    Each study is predicted from all others, and its further seeds from these and its first seed.
    """
    yield "| study | fitted | measured, s | predicted, s | error | not predicted, s | of rules |"
    yield "|---|---|---|---|---|---|---|"
    for one in measured:
        others = [job for other in measured if other is not one for _, job in other.jobs]
        pilot = min((seed for seed, _ in one.jobs if seed is not None), default=None)
        first = [job for seed, job in one.jobs if seed == pilot]
        rest = [job for seed, job in one.jobs if seed not in (pilot, None)]
        whole = [job for _, job in one.jobs]
        for how, frame in (
            ("other studies", prediction_error(others, whole)),
            ("and its first seed", prediction_error([*others, *first], rest)),
        ):
            known, unknown = frame.dropna(), frame["measured"][frame["predicted"].isna()].sum()
            seconds, predicted = known["measured"].sum(), known["predicted"].sum()
            error = predicted / seconds - 1 if seconds else 0.0
            largest = known.groupby("rule").sum().nlargest(4, "measured")
            rules = ", ".join(
                f"{rule} {row['predicted'] / row['measured'] - 1:+.0%}"
                for rule, row in largest.iterrows()
            )
            yield (
                f"| {one.name} | {how} | {seconds:.0f} | {predicted:.0f} | {error:+.0%} "
                f"| {unknown:.0f} | {rules} |"
            )


def main(arguments: Sequence[str]) -> str:
    """What the command prints."""
    options = _parser().parse_args(arguments)
    if options.gpus > 0 and options.gpu_speedup is None:
        raise InputError(
            "--gpus needs --gpu-speedup: how much faster the work of a job is on that GPU than on "
            "a core of the measured machine; nothing here has measured one"
        )
    speedup = 1.0 if options.gpu_speedup is None else options.gpu_speedup
    if options.cores < 1 or options.gpus < 0 or speedup <= 0:
        raise InputError(
            f"--cores {options.cores}, --gpus {options.gpus} and --gpu-speedup {speedup:g} cannot "
            "be: give at least 1 core, no negative number of GPUs, a speedup above 0"
        )
    measured = read_measurements(options.measured)
    if options.check:
        return "\n".join(check_lines(measured)) + "\n"
    model = CostModel(job for one in measured for _, job in one.jobs)
    if options.fitted:
        return "\n".join(fitted_lines(model)) + "\n"
    study = load_study(options.configfile)
    counts = ImageCounts(study, read_images(options.images) if options.images else None)
    work, plan = StudyWork(study, counts), options.plan
    try:
        jobs = dry_run(options.configfile) if plan is None else planned_jobs(open(plan))
    except OSError as error:
        raise InputError(f"{plan} cannot be read ({error.strerror}); leave out --plan") from error
    rules, time = predict(model, work, jobs, options.cores, options.gpus, speedup)
    lines = prediction_lines(study.name, rules, time, predicted_bytes(work), options)
    return "\n".join(lines) + "\n"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("sparsight.study.costs.predict", description=__doc__)
    add = parser.add_argument
    add("--configfile", type=Path, help="a study, as Snakemake gets it")
    add("--cores", type=int, default=2, help="jobs at a time on processor cores (default 2)")
    add("--gpus", type=int, default=0, help="jobs at a time on GPUs (default 0: on the cores)")
    add("--gpu-speedup", type=float, help="work on the GPU, times as fast as on a measured core")
    add("--measured", type=Path, default=MEASURED, help=f"what is fitted (default {MEASURED})")
    add("--images", type=Path, help="YAML with images of data sets: train, validation, test")
    add("--plan", type=Path, help="the dry run's output, instead of a dry run now")
    add("--fitted", action="store_true", help="print the fitted coefficients")
    add("--check", action="store_true", help="predict each measured study from the others")
    return parser


if __name__ == "__main__":
    try:
        sys.stdout.write(main(sys.argv[1:]))
    except InputError as error:
        sys.exit(str(error))
