"""Predicted seconds of planned jobs, for the console: a process that is given jobs as JSON.

The console starts it beside a run or a dry run, so that Snakemake itself imports neither torch nor
pandas. It predicts with `fitted.json`, which holds the model that `predict` fits anew;
`python -m sparsight.study.costs.forecast --fit` writes that file.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

FITTED = Path(__file__).with_name("fitted.json")
#: wildcards on which no prediction depends: seeds and levels of a chain cost alike
_REPEATS = ("seed", "level")
JobKind = tuple[str, ...]


def job_kind(rule: str, wildcards: Mapping[str, str]) -> JobKind:
    """What jobs of equal predictions share: the rule and "name=value" of its other wildcards."""
    return rule, *(f"{name}={x}" for name, x in wildcards.items() if name not in _REPEATS)


@dataclass(frozen=True)
class Forecast:
    """What the jobs of a study will take on one core of the measured machine.

    Attributes
    ----------
    seconds : kind of job to seconds; kinds that are not there were never measured.
    bytes : kind of file to the bytes that the whole study writes.
    """

    seconds: Mapping[JobKind, float] = field(default_factory=dict)
    bytes: Mapping[str, int] = field(default_factory=dict)

    def total(self, kinds: Mapping[JobKind, int]) -> float:
        """Seconds of all jobs whose costs are known."""
        return sum(self.seconds.get(kind, 0.0) * count for kind, count in kinds.items())


class ForecastProcess:
    """A forecast that is being made by a process of its own.

    Parameters
    ----------
    config : of the study, as the workflow completed it.
    kinds : of the jobs that will run.
    """

    def __init__(self, config: Mapping[str, Any], kinds: Iterable[JobKind]) -> None:
        self._output = tempfile.TemporaryFile("w+", encoding="utf-8")
        command = [sys.executable, "-m", "sparsight.study.costs.forecast"]
        with tempfile.TemporaryFile("w+", encoding="utf-8") as given:
            json.dump({"config": config, "kinds": list(kinds)}, given)
            given.seek(0)
            self._process = subprocess.Popen(
                command, stdin=given, stdout=self._output, stderr=subprocess.DEVNULL
            )

    def ready(self) -> bool:
        """Whether the process has ended."""
        return self._process.poll() is not None

    def result(self) -> Forecast:
        """Wait for the forecast; an empty one where it could not be made."""
        self._process.wait()
        self._output.seek(0)
        try:
            found = json.load(self._output)
        except ValueError:
            found = {"seconds": [], "bytes": {}}
        self._output.close()
        return Forecast({tuple(kind): s for kind, s in found["seconds"]}, found["bytes"])

    def stop(self) -> None:
        """End the process and wait for its end."""
        self._process.kill()
        self._process.wait()
        self._output.close()


@dataclass(frozen=True)
class _Model:
    """Predicts the kinds of jobs of a study."""

    work: Any
    model: Any

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Self:
        from sparsight.analysis.cost_model import CostModel
        from sparsight.study.costs.work import ImageCounts, StudyWork
        from sparsight.study.plan import Study

        study = Study(dict(config))
        fitted = json.loads(FITTED.read_text(encoding="utf-8"))
        return cls(StudyWork(study, ImageCounts(study)), CostModel.from_dict(fitted))

    def seconds(self, kind: JobKind) -> float | None:
        """None where no job of its kind was measured, or where nobody knows its images."""
        from sparsight.io.errors import InputError
        from sparsight.study.costs.work import PlannedJob, cost_job

        rule, *pairs = kind
        # of chains of several levels, any will do
        wildcards = {"seed": "0", "level": "01", **dict(pair.split("=", 1) for pair in pairs)}
        try:
            job = cost_job(self.work, PlannedJob(rule, wildcards))
        except InputError:
            return None
        return self.model.predict(job).seconds if self.model.knows(job) else None


def forecast(config: Mapping[str, Any], kinds: Iterable[JobKind]) -> Forecast:
    """Predict kinds of jobs and the bytes of a study; see `Forecast`."""
    from sparsight.io.errors import InputError
    from sparsight.study.costs.work import predicted_bytes

    model = _Model.of(config)
    found = {kind: model.seconds(kind) for kind in kinds}
    try:
        stored = predicted_bytes(model.work)
    except InputError:
        stored = {}
    return Forecast({kind: s for kind, s in found.items() if s is not None}, stored)


def fitted_text() -> str:
    """What `fitted.json` holds: the model fitted to `benchmarks/costs/measured.yaml`."""
    from sparsight.analysis.cost_model import CostModel
    from sparsight.study.costs.predict import MEASURED, read_measurements

    measured = read_measurements(MEASURED)
    model = CostModel(job for study in measured for _, job in study.jobs)
    return json.dumps(model.to_dict(), indent=1, sort_keys=True) + "\n"


if __name__ == "__main__":
    if sys.argv[1:] == ["--fit"]:
        FITTED.write_text(fitted_text(), encoding="utf-8")
    else:
        given = json.load(sys.stdin)
        made = forecast(given["config"], [tuple(kind) for kind in given["kinds"]])
        json.dump({"seconds": list(made.seconds.items()), "bytes": made.bytes}, sys.stdout)
