"""Predict what a study will cost: `python -m sparsight.study.predict_costs --configfile FILE`."""

import argparse
import sys
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sparsight.analysis.cost_model import Cost, CostModel
from sparsight.io.errors import InputError
from sparsight.study.cost_check import check_lines
from sparsight.study.cost_lines import fitted_lines, prediction_lines
from sparsight.study.disk import predicted_bytes
from sparsight.study.dry_run import PlannedJob, dry_run, planned_jobs
from sparsight.study.image_counts import ImageCounts
from sparsight.study.measured import cost_job, load_study, read_images, read_measurements
from sparsight.study.schedule import Schedule, schedule
from sparsight.study.work import StudyWork

MEASURED = Path("benchmarks/costs/measured.yaml")


@dataclass
class RuleCost:
    """What the jobs of a rule take together.

    Attributes
    ----------
    jobs : how many.
    gpu : whether they ask for a GPU.
    seconds : of all of them, with the speedup where they run on a GPU.
    megabytes : largest memory of one, in MiB.
    reserved : memory that each reserves at its first attempt, in MB.
    unknown : jobs of which none like them was measured; they count nothing.
    """

    jobs: int = 0
    gpu: bool = False
    seconds: float = 0.0
    megabytes: float = 0.0
    reserved: int = 0
    unknown: int = 0


@dataclass(frozen=True)
class Prediction:
    """What a study will cost.

    Attributes
    ----------
    rules : rule to what its jobs take.
    time : wall time, with the workers and without any limit.
    bytes : kind of file to its size.
    """

    rules: dict[str, RuleCost]
    time: Schedule
    bytes: dict[str, int] = field(default_factory=dict)


def predict(
    model: CostModel,
    work: StudyWork,
    jobs: Sequence[PlannedJob],
    cores: int,
    gpus: int = 0,
    speedup: float = 1.0,
) -> Prediction:
    """Predict the jobs of a study.

    Parameters
    ----------
    model : fitted.
    work : of the study.
    jobs : of the study, in an order in which they can run.
    cores, gpus : how many jobs run at a time; without GPUs, those that ask for one run on the
        cores.
    speedup : by how much the work of a job is faster on a GPU than where it was measured; starting
        it is not.
    """
    rules: dict[str, RuleCost] = defaultdict(RuleCost)
    seconds = []
    for job in jobs:
        found, rule = cost_job(work, job), rules[job.rule]
        cost = model.predict(found) if model.knows(found) else None
        faster = speedup if gpus and job.gpu else 1.0
        seconds.append(_seconds(cost, faster))
        rule.jobs += 1
        rule.unknown += cost is None
        rule.gpu, rule.reserved = job.gpu, max(rule.reserved, job.memory_mb)
        rule.seconds += seconds[-1]
        rule.megabytes = max(rule.megabytes, cost.megabytes if cost else 0.0)
    return Prediction(dict(rules), schedule(jobs, seconds, cores, gpus))


def _seconds(cost: Cost | None, faster: float) -> float:
    return 0.0 if cost is None else cost.start + cost.work / faster


def main(arguments: Sequence[str]) -> str:
    """What the command prints."""
    options = _parser().parse_args(arguments)
    if options.gpus and options.gpu_speedup is None:
        raise InputError(
            "--gpus needs --gpu-speedup: how much faster the work of a job is on that GPU than on "
            "a core of the measured machine; nothing here has measured one"
        )
    measured = read_measurements(options.measured)
    if options.check:
        return "\n".join(check_lines(measured)) + "\n"
    model = CostModel(job for one in measured for _, job in one.jobs)
    if options.fitted:
        return "\n".join(fitted_lines(model)) + "\n"
    study = load_study(options.configfile)
    counts = ImageCounts(study, read_images(options.images) if options.images else None)
    work = StudyWork(study, counts)
    jobs = _planned(options.plan, options.configfile)
    found = predict(model, work, jobs, options.cores, options.gpus, options.gpu_speedup or 1.0)
    found = Prediction(found.rules, found.time, predicted_bytes(study, counts, work))
    return "\n".join(prediction_lines(study.name, found, options)) + "\n"


def _planned(plan: Path | None, configfile: Path | None) -> list[PlannedJob]:
    if plan is None:
        return dry_run(configfile)
    try:
        with open(plan, encoding="utf-8") as lines:
            return planned_jobs(lines)
    except OSError as error:
        raise InputError(f"{plan} cannot be read ({error.strerror}); leave out --plan") from error


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("sparsight.study.predict_costs", description=__doc__)
    add = parser.add_argument
    add("--configfile", type=Path, help="overlay of config.yaml, as Snakemake gets it")
    add("--cores", type=int, default=2, help="jobs at a time on processor cores (default 2)")
    add("--gpus", type=int, default=0, help="jobs at a time on GPUs (default 0: on the cores)")
    add("--gpu-speedup", type=float, help="work on the GPU, times as fast as on a measured core")
    add("--measured", type=Path, default=MEASURED, help=f"what is fitted (default {MEASURED})")
    add("--images", type=Path, help="YAML with images of data sets: train, validation, test")
    add("--plan", type=Path, help="the dry run's output, instead of a dry run now")
    add("--fitted", action="store_true", help="print the fitted coefficients")
    add("--check", action="store_true", help="predict each measured study from the others")
    return parser


def _print(parts: Iterable[str]) -> None:
    for part in parts:
        sys.stdout.write(part)


if __name__ == "__main__":
    try:
        _print([main(sys.argv[1:])])
    except InputError as error:
        sys.exit(str(error))
