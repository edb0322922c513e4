"""A cost model: seconds and memory of jobs as sums over what they have to do, fitted to jobs."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

Key = tuple[str, ...]
#: name of the part of a job's time that is the same for all jobs of its kind
START = "start"


@dataclass(frozen=True)
class CostJob:
    """A job to be fitted or predicted.

    Attributes
    ----------
    kind : jobs of a kind share coefficients.
    key : jobs with the same key cost alike, up to their work: a measured one corrects the others.
    work : how much of each unit; what is left out is 0.
    memory : what its memory follows, in GB: name to size.
    """

    kind: str
    key: Key
    work: Mapping[str, float] = field(default_factory=dict)
    memory: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class MeasuredJob:
    """A job that ran: wall-clock seconds and largest resident memory in MiB (NaN: not sampled)."""

    job: CostJob
    seconds: float
    megabytes: float


@dataclass(frozen=True)
class Cost:
    """What a job takes: seconds of starting, seconds of work, and MiB of memory."""

    start: float
    work: float
    megabytes: float

    @property
    def seconds(self) -> float:
        """Both together."""
        return self.start + self.work


@dataclass(frozen=True)
class Fit:
    """Coefficients of a kind of jobs.

    Attributes
    ----------
    seconds : seconds per unit of work that some measured job had, and under `START` of every job.
    megabytes : MiB per GB of what memory follows, and under `START` those of every job.
    jobs : how many were measured.
    """

    seconds: dict[str, float]
    megabytes: dict[str, float]
    jobs: int


class CostModel:
    """Predicts jobs from measured ones.

    Seconds are a sum: a start, and a coefficient (0 or more) times each unit of work, the same for
    all jobs of a kind. They are fitted by least squares, a job of s seconds weighing 1/s, so that
    totals come out and short jobs count too. Where jobs of a key were measured, their total divided
    by their prediction corrects all jobs of that key: a pilot run makes its own study's prediction
    better. Memory is fitted in the same way.

    Parameters
    ----------
    measured : jobs that ran.
    """

    def __init__(self, measured: Iterable[MeasuredJob]) -> None:
        kinds: dict[str, list[MeasuredJob]] = defaultdict(list)
        keys: dict[Key, list[MeasuredJob]] = defaultdict(list)
        for one in measured:
            kinds[one.job.kind].append(one)
            keys[one.job.key].append(one)
        self.fits = {kind: _fit(jobs) for kind, jobs in kinds.items()}
        self.corrections = {key: self._correction(jobs) for key, jobs in keys.items()}

    @classmethod
    def from_dict(cls, fitted: Mapping[str, Any]) -> Self:
        """The model that `to_dict` described."""
        model = cls(())
        model.fits = {kind: Fit(**fit) for kind, fit in fitted["fits"].items()}
        model.corrections = {
            tuple(row["key"]): (row["seconds"], row["megabytes"]) for row in fitted["corrections"]
        }
        return model

    def to_dict(self) -> dict[str, Any]:
        """Coefficients and corrections, four digits each, as JSON holds them."""
        return {
            "fits": {
                kind: {
                    "seconds": {name: float(f"{x:.4g}") for name, x in fit.seconds.items()},
                    "megabytes": {name: float(f"{x:.4g}") for name, x in fit.megabytes.items()},
                    "jobs": fit.jobs,
                }
                for kind, fit in sorted(self.fits.items())
            },
            "corrections": [
                {"key": list(key), "seconds": float(f"{s:.4g}"), "megabytes": float(f"{m:.4g}")}
                for key, (s, m) in sorted(self.corrections.items())
            ],
        }

    def knows(self, job: CostJob) -> bool:
        """Whether jobs of its kind were measured, with every unit of work that it has."""
        fit = self.fits.get(job.kind)
        return fit is not None and all(
            unit in fit.seconds for unit, amount in job.work.items() if amount
        )

    def predict(self, job: CostJob) -> Cost:
        """What a job takes.

        Raises
        ------
        KeyError
            When no job of its kind was measured.
        """
        fit = self.fits[job.kind]
        plain = _plain(fit, job)
        seconds, memory = self.corrections.get(job.key, (1.0, 1.0))
        whole = seconds * (plain.start + plain.work)
        # Starting takes what it takes, unless the whole job was faster than that.
        start = min(plain.start, whole)
        return Cost(start, whole - start, memory * plain.megabytes)

    def _correction(self, jobs: Sequence[MeasuredJob]) -> tuple[float, float]:
        plain = [_plain(self.fits[one.job.kind], one.job) for one in jobs]
        seconds = sum(one.seconds for one in jobs), sum(cost.seconds for cost in plain)
        sampled = [(one.megabytes, cost.megabytes) for one, cost in zip(jobs, plain, strict=True)]
        sampled = [pair for pair in sampled if not np.isnan(pair[0])]
        memory = sum(real for real, _ in sampled), sum(fitted for _, fitted in sampled)
        return _ratio(*seconds), _ratio(*memory)


def _ratio(real: float, fitted: float) -> float:
    return real / fitted if fitted > 0 else 1.0


def _plain(fit: Fit, job: CostJob) -> Cost:
    work = sum(fit.seconds.get(unit, 0.0) * amount for unit, amount in job.work.items())
    memory = sum(fit.megabytes.get(name, 0.0) * size for name, size in job.memory.items())
    return Cost(fit.seconds[START], work, fit.megabytes[START] + memory)


def _fit(jobs: Sequence[MeasuredJob]) -> Fit:
    sampled = [one for one in jobs if not np.isnan(one.megabytes)]
    return Fit(
        _coefficients([one.job.work for one in jobs], [one.seconds for one in jobs]),
        _coefficients([one.job.memory for one in sampled], [one.megabytes for one in sampled]),
        len(jobs),
    )


def _coefficients(
    amounts: Sequence[Mapping[str, float]], values: Sequence[float]
) -> dict[str, float]:
    """Non-negative coefficients of a sum with a constant, by least squares weighted by 1/value."""
    from scipy.optimize import nnls  # late: predicting with a fitted model needs no solver

    units = sorted({unit for amount in amounts for unit, size in amount.items() if size})
    if not amounts:
        return {START: 0.0}
    design: NDArray[Any] = np.array(
        [[1.0, *(amount.get(unit, 0.0) for unit in units)] for amount in amounts]
    )
    target = np.array(values, dtype=float)
    weights = 1 / np.sqrt(np.maximum(target, 1e-3))
    # Columns of one size, so that the solver's tolerance means the same for all.
    sizes = np.maximum(np.abs(design).max(axis=0), 1e-12)
    found, _ = nnls(design / sizes * weights[:, None], target * weights)
    return dict(zip([START, *units], (found / sizes).tolist(), strict=True))
