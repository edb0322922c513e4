"""How far predictions of measured studies are off."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from sparsight.analysis.cost_model import CostModel, MeasuredJob
from sparsight.study.costs.measured import Measurement


@dataclass(frozen=True)
class Error:
    """Measured and predicted seconds of jobs.

    Attributes
    ----------
    measured, predicted : rule to seconds.
    unknown : seconds of jobs that cannot be predicted, since none like them was fitted.
    """

    measured: Counter[str]
    predicted: Counter[str]
    unknown: float

    @property
    def relative(self) -> float:
        """Predicted / measured - 1, of all jobs that can be predicted; 0 where there is none."""
        measured = self.measured.total()
        return self.predicted.total() / measured - 1 if measured else 0.0


def prediction_error(fitted: Iterable[MeasuredJob], tested: Iterable[MeasuredJob]) -> Error:
    """Fit some jobs and predict others."""
    model, found = CostModel(fitted), Error(Counter(), Counter(), 0.0)
    unknown = 0.0
    for one in tested:
        if not model.knows(one.job):
            unknown += one.seconds
            continue
        rule = one.job.key[0]
        found.measured[rule] += one.seconds  # type: ignore[assignment]
        found.predicted[rule] += model.predict(one.job).seconds  # type: ignore[assignment]
    return Error(found.measured, found.predicted, unknown)


def with_others(measured: Sequence[Measurement], one: Measurement) -> Error:
    """A study predicted from all others."""
    others = (job for other in measured if other is not one for _, job in other.jobs)
    return prediction_error(others, (job for _, job in one.jobs))


def with_pilot(measured: Sequence[Measurement], one: Measurement) -> Error:
    """The further seeds of a study, predicted from all others and its own first seed."""
    seeds = {seed for seed, _ in one.jobs if seed is not None}
    pilot = min(seeds, default=None)
    others = [job for other in measured if other is not one for _, job in other.jobs]
    own = [job for seed, job in one.jobs if seed == pilot]
    rest = (job for seed, job in one.jobs if seed not in (pilot, None))
    return prediction_error([*others, *own], rest)


def check_lines(measured: Sequence[Measurement]) -> Iterator[str]:
    """A table of errors, by study and by the rules that take most of its time."""
    yield "| study | fitted | measured, s | predicted, s | error | not predicted, s | of rules |"
    yield "|---|---|---|---|---|---|---|"
    for one in measured:
        for how, of in (("other studies", with_others), ("and its first seed", with_pilot)):
            error = of(measured, one)
            largest = [rule for rule, _ in error.measured.most_common(4)]
            rules = ", ".join(
                f"{rule} {error.predicted[rule] / error.measured[rule] - 1:+.0%}"
                for rule in largest
            )
            yield (
                f"| {one.name} | {how} | {error.measured.total():.0f} "
                f"| {error.predicted.total():.0f} | {error.relative:+.0%} | {error.unknown:.0f} "
                f"| {rules} |"
            )
