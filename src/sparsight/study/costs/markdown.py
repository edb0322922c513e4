"""Costs as Markdown: the fitted coefficients, and a prediction."""

import argparse
from collections.abc import Iterator

from sparsight.analysis.cost_model import START, CostModel
from sparsight.study.costs.prediction import Prediction
from sparsight.study.costs.work import UNITS


def fitted_lines(model: CostModel) -> Iterator[str]:
    """A row for each kind of jobs."""
    yield "| jobs | measured | start, s | seconds per unit of work | memory, MiB |"
    yield "|---|---|---|---|---|"
    for kind, fit in sorted(model.fits.items()):
        work = ", ".join(f"{value:.3g} × {unit}" for unit, value in _parts(fit.seconds))
        memory = " ".join(f"+ {value:.0f} × {name}" for name, value in _parts(fit.megabytes))
        start, least = fit.seconds[START], fit.megabytes[START]
        yield f"| {kind} | {fit.jobs} | {start:.1f} | {work or '–'} | {least:.0f} {memory} |"
    yield ""
    yield from (f"* `{unit}`: {meaning}" for unit, meaning in UNITS.items())
    yield "* `batch`: 10⁹ numbers that layers put out for a batch; `data`: GB of training images"


def _parts(coefficients: dict[str, float]) -> list[tuple[str, float]]:
    return [(name, value) for name, value in coefficients.items() if name != START and value]


def prediction_lines(
    name: str, prediction: Prediction, options: argparse.Namespace
) -> Iterator[str]:
    """Totals, a row for each rule, bytes, and what could not be predicted."""
    rules = prediction.rules
    jobs = sum(rule.jobs for rule in rules.values())
    workers = f"{options.cores} cores"
    if options.gpus:
        workers += (
            f" and {options.gpus} GPUs, assumed to do the work of a job {options.gpu_speedup:g} "
            "times as fast as a measured core"
        )
    yield f"{name}: {jobs} jobs on {workers}"
    yield ""
    yield f"* wall time: {_time(prediction.time.seconds)}"
    yield f"* no less with any number of workers (chains): {_time(prediction.time.critical)}"
    on_gpu = sum(rule.seconds for rule in rules.values() if rule.gpu and options.gpus)
    whole = sum(rule.seconds for rule in rules.values())
    yield f"* core-hours: {(whole - on_gpu) / 3600:.1f}, GPU-hours: {on_gpu / 3600:.1f}"
    peak = max((rule.megabytes for rule in rules.values()), default=0.0)
    yield f"* largest memory of a job: {peak / 1024:.1f} GiB"
    sizes = ", ".join(f"{kind} {size / 1e9:.2f}" for kind, size in prediction.bytes.items())
    unknown = sum(rule.unknown for rule in rules.values())
    if unknown:
        yield f"* not in these numbers: {unknown} jobs like which none was measured"
    yield f"* disk, GB: {sum(prediction.bytes.values()) / 1e9:.2f} ({sizes})"
    yield ""
    yield "| rule | jobs | hours | a job, s | memory, MiB | reserved, MB |"
    yield "|---|---|---|---|---|---|"
    for rule, cost in sorted(rules.items(), key=lambda item: -item[1].seconds):
        known = cost.jobs - cost.unknown
        each = cost.seconds / known if known else 0.0
        row = f"{cost.seconds / 3600:.2f} | {each:.1f} | {cost.megabytes:.0f}"
        if not known:
            row = "not measured | | "
        count = f"{cost.jobs}, {cost.unknown} not measured" if known and cost.unknown else cost.jobs
        yield f"| {rule} | {count} | {row} | {cost.reserved} |"


def _time(seconds: float) -> str:
    return f"{seconds / 3600:.1f} h" if seconds < 48 * 3600 else f"{seconds / 86400:.1f} days"
