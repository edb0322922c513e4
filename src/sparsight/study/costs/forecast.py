"""Predicted seconds of planned jobs, for the console: a process that is given jobs as JSON.

The console starts it with a run or a dry run, so that Snakemake itself imports neither torch nor
pandas. It predicts with `fitted.json`, which holds the model that `predict` fits anew;
`python -m sparsight.study.costs.forecast --fit` writes that file.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FITTED = Path(__file__).with_name("fitted.json")
#: wildcards on which no prediction depends: seeds and levels of a chain cost alike
_REPEATS = ("seed", "level")
JobKind = tuple[str, ...]


def job_kind(rule: str, wildcards: Mapping[str, str]) -> JobKind:
    """What jobs of equal predictions share: the rule and "name=value" of its other wildcards."""
    return rule, *(f"{name}={x}" for name, x in wildcards.items() if name not in _REPEATS)


@dataclass(frozen=True)
class Forecast:
    """What a study will take on one core of the measured machine.

    `seconds` by kind of job, without those that were never measured; `bytes` of the whole study by
    kind of file.
    """

    seconds: Mapping[JobKind, float] = field(default_factory=dict)
    bytes: Mapping[str, int] = field(default_factory=dict)

    def total(self, kinds: Mapping[JobKind, int]) -> float:
        """Seconds of all jobs whose costs are known."""
        return sum(self.seconds.get(kind, 0.0) * count for kind, count in kinds.items())


class ForecastProcess:
    """A forecast of a completed configuration and kinds of jobs, made by a process of its own."""

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


def forecast(config: Mapping[str, Any], kinds: Iterable[JobKind]) -> Forecast:
    """Predict kinds of jobs and the bytes of a study.

    Kinds of which no job was measured, or whose number of images nobody knows, are left out.
    """
    # Late: the console imports this module, and Snakemake starts without torch.
    from sparsight.analysis.cost_model import CostModel
    from sparsight.io.errors import InputError
    from sparsight.study.costs.work import (
        ImageCounts,
        PlannedJob,
        StudyWork,
        cost_job,
        predicted_bytes,
    )
    from sparsight.study.plan import Study

    study = Study(dict(config))
    work = StudyWork(study, ImageCounts(study))
    model = CostModel.from_dict(json.loads(FITTED.read_text(encoding="utf-8")))
    seconds = {}
    for kind in kinds:
        rule, *pairs = kind
        # of chains of several levels, any will do
        wildcards = {"seed": "0", "level": "01", **dict(pair.split("=", 1) for pair in pairs)}
        with suppress(InputError):
            job = cost_job(work, PlannedJob(rule, wildcards))
            if model.knows(job):
                seconds[kind] = model.predict(job).seconds
    try:
        return Forecast(seconds, predicted_bytes(work))
    except InputError:
        return Forecast(seconds)


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
