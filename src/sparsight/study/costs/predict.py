"""Predict what a study will cost: `python -m sparsight.study.costs.predict --configfile FILE`."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from sparsight.analysis.cost_model import CostModel
from sparsight.io.errors import InputError
from sparsight.study.costs.check import check_lines
from sparsight.study.costs.disk import predicted_bytes
from sparsight.study.costs.dry_run import PlannedJob, dry_run, planned_jobs
from sparsight.study.costs.image_counts import ImageCounts
from sparsight.study.costs.markdown import fitted_lines, prediction_lines
from sparsight.study.costs.measured import load_study, read_images, read_measurements
from sparsight.study.costs.prediction import Prediction, predict
from sparsight.study.costs.work import StudyWork

MEASURED = Path("benchmarks/costs/measured.yaml")


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
    work = StudyWork(study, counts)
    jobs = _planned(options.plan, options.configfile)
    found = predict(model, work, jobs, options.cores, options.gpus, speedup)
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
    parser = argparse.ArgumentParser("sparsight.study.costs.predict", description=__doc__)
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


if __name__ == "__main__":
    try:
        sys.stdout.write(main(sys.argv[1:]))
    except InputError as error:
        sys.exit(str(error))
