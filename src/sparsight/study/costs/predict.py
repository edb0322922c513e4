"""Predict what the jobs of a study cost, from jobs that ran.

A model is fitted to the studies of `benchmarks/costs/measured.yaml` and kept in `fitted.json`:
`python -m sparsight.study.costs.predict --fit`. With `--check` it predicts each of these studies
from the others. Snakemake's console predicts in a process of its own (`ForecastProcess`), since
the sizes of networks take torch, which Snakemake itself does not import.
"""

import heapq
import json
import math
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from graphlib import TopologicalSorter
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from sparsight.io.errors import InputError
from sparsight.study.configuration import catalogue_and_study, normalise, overlaid, resolve
from sparsight.study.plan import Study
from sparsight.study.yaml_files import load_yaml

if TYPE_CHECKING:
    from sparsight.study.costs.work import CostJob, StudyWork

FITTED = Path(__file__).with_name("fitted.json")
#: the studies that ran
MEASURED = Path("benchmarks/costs/measured.yaml")
#: name of the part of a job's time and memory that is the same for all jobs of its kind
START = "start"
#: wildcards on which no prediction depends: seeds and levels of a chain cost alike
_REPEATS = ("seed", "level")
JobKind = tuple[str, ...]


def job_kind(rule: str, wildcards: Mapping[str, str]) -> JobKind:
    """What jobs of equal predictions share: the rule and "name=value" of its other wildcards."""
    return rule, *(f"{name}={x}" for name, x in wildcards.items() if name not in _REPEATS)


def _job(work: "StudyWork", kind: JobKind) -> "CostJob":
    return work.job(kind[0], dict(pair.split("=", 1) for pair in kind[1:]))


# ------------------------------------------------------------------------------------------ model


class MeasuredJob(NamedTuple):
    """A job that ran: wall-clock seconds, largest resident memory in MiB (NaN: not sampled).

    A `warm` one had its libraries imported by the server that started it (`workflow/warm`).
    """

    job: "CostJob"
    seconds: float
    megabytes: float
    seed: int | None = None
    warm: bool = False


class Cost(NamedTuple):
    """What a job takes: seconds, and MiB of memory."""

    seconds: float
    megabytes: float


class Fit(NamedTuple):
    """Coefficients of a kind of jobs, under `START` those of every job.

    `seconds` per unit of work that some measured job had, `megabytes` (MiB) per GB of what memory
    follows.
    """

    seconds: dict[str, float]
    megabytes: dict[str, float]


class CostModel:
    """Predicts jobs from measured ones.

    Seconds are a sum: a start, which warm jobs do not have, and a coefficient (0 or more) times
    each unit of work, the same for all jobs of a kind (`fits`). They are fitted by least squares, a
    job of s seconds weighing 1/s, so that totals come out and short jobs count too. Where jobs of a
    key were measured, their total divided by their prediction corrects all jobs of that key
    (`corrections`): a pilot run makes its own study's prediction better. Memory is fitted in the
    same way.
    """

    def __init__(self, fits: Mapping[str, Fit], corrections: Mapping[str, Sequence[float]]) -> None:
        self.fits, self.corrections = fits, corrections

    @classmethod
    def fit(cls, measured: Iterable[MeasuredJob]) -> Self:
        """The model of jobs that ran."""
        kinds: dict[str, list[MeasuredJob]] = defaultdict(list)
        keys: dict[str, list[MeasuredJob]] = defaultdict(list)
        for one in measured:
            kinds[one.job.kind].append(one)
            keys[one.job.key].append(one)
        fits = {
            kind: Fit(
                _coefficients(
                    ({**one.job.work, START: 0.0 if one.warm else 1.0}, one.seconds) for one in jobs
                ),
                _coefficients((one.job.memory, one.megabytes) for one in jobs),
            )
            for kind, jobs in kinds.items()
        }
        plain = cls(fits, {})
        return cls(fits, {key: plain._correction(jobs) for key, jobs in keys.items()})

    @classmethod
    def read(cls) -> Self:
        """The model in `fitted.json`."""
        found = json.loads(FITTED.read_text(encoding="utf-8"))
        fits = {kind: Fit(**fit) for kind, fit in found["fits"].items()}
        return cls(fits, found["corrections"])

    def to_json(self) -> str:
        """What `fitted.json` holds: coefficients and corrections with four digits each."""
        fits = {kind: fit._asdict() for kind, fit in self.fits.items()}
        exact = json.dumps({"fits": fits, "corrections": self.corrections})
        rounded = json.loads(exact, parse_float=lambda text: float(f"{float(text):.4g}"))
        return json.dumps(rounded, indent=1, sort_keys=True) + "\n"

    def predict(self, job: "CostJob", warm: bool = False) -> Cost | None:
        """What a job takes; None where no job of its kind had all units of its work."""
        fit = self.fits.get(job.kind)
        units = {unit: amount for unit, amount in job.work.items() if amount}
        if fit is None or not units.keys() <= fit.seconds.keys():
            return None
        seconds, memory = self.corrections.get(job.key, (1.0, 1.0))
        work = sum(fit.seconds[unit] * amount for unit, amount in units.items())
        growing = sum(fit.megabytes.get(name, 0.0) * size for name, size in job.memory.items())
        start = 0.0 if warm else fit.seconds[START]
        return Cost(seconds * (start + work), memory * (fit.megabytes[START] + growing))

    def _correction(self, jobs: Sequence[MeasuredJob]) -> tuple[float, float]:
        """What jobs took by what is predicted for them: seconds, and memory where sampled."""
        real = fitted = real_memory = fitted_memory = 0.0
        for one in jobs:
            cost = self.predict(one.job, one.warm)
            assert cost is not None  # it was fitted to this job
            real, fitted = real + one.seconds, fitted + cost.seconds
            if not math.isnan(one.megabytes):
                real_memory += one.megabytes
                fitted_memory += cost.megabytes
        seconds = real / fitted if fitted else 1.0
        return seconds, real_memory / fitted_memory if fitted_memory else 1.0


def _coefficients(measured: Iterable[tuple[Mapping[str, float], float]]) -> dict[str, float]:
    """Non-negative coefficients of a sum with a constant, by least squares weighted by 1/value.

    `measured` has amounts and the value of their sum, NaN where it was not sampled. The amount of
    the constant, `START`, is 1 unless stated.
    """
    import numpy as np
    from scipy.optimize import nnls

    known = [(amounts, value) for amounts, value in measured if not math.isnan(value)]
    if not known:
        return {START: 0.0}
    units = {unit for amounts, _ in known for unit, size in amounts.items() if size}
    columns = [START, *sorted(units - {START})]
    design = np.array(
        [[{START: 1.0, **amounts}.get(unit, 0.0) for unit in columns] for amounts, _ in known]
    )
    values = np.array([value for _, value in known])
    weights = 1 / np.sqrt(np.maximum(values, 1e-3))
    # Columns of one size, so that the solver's tolerance means the same for all.
    sizes = np.maximum(np.abs(design).max(axis=0), 1e-12)
    found, _ = nnls(design / sizes * weights[:, None], values * weights)
    return dict(zip(columns, (found / sizes).tolist(), strict=True))


# --------------------------------------------------------------------------- forecast of a console


@dataclass(frozen=True)
class Forecast:
    """What a study will take on one core of the measured machine.

    `seconds` by kind of job, without those that were never measured; `bytes` of the whole study by
    kind of file; `megabytes` (MiB) of memory of the largest job, and its rule; what the `claims`
    can show, in a line.
    """

    seconds: Mapping[JobKind, float] = field(default_factory=dict)
    bytes: Mapping[str, int] = field(default_factory=dict)
    megabytes: float = 0.0
    largest: str = ""
    claims: str = ""

    def total(self, kinds: Mapping[JobKind, int]) -> float:
        """Seconds of all jobs whose costs are known."""
        return sum(self.seconds.get(kind, 0.0) * count for kind, count in kinds.items())


class ForecastProcess:
    """A forecast of a completed configuration and kinds of jobs, made by a process of its own."""

    def __init__(self, config: Mapping[str, Any], kinds: Iterable[JobKind]) -> None:
        self._output = tempfile.TemporaryFile("w+", encoding="utf-8")
        command = [sys.executable, "-m", "sparsight.study.costs.predict", "--forecast"]
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
        with self._output, suppress(ValueError):
            found = json.load(self._output)
            found["seconds"] = {tuple(kind): seconds for kind, seconds in found["seconds"]}
            return Forecast(**found)
        return Forecast()

    def stop(self) -> None:
        """End the process and wait for its end."""
        self._process.kill()
        self._process.wait()
        self._output.close()


def forecast(config: Mapping[str, Any], kinds: Iterable[Sequence[str]]) -> dict[str, Any]:
    """The fields of a `Forecast` as JSON.

    Kinds of which no job was measured, or whose number of images nobody knows, are left out.
    """
    from sparsight.study.costs.work import StudyWork, predicted_bytes
    from sparsight.study.power import prospects, summary_line

    work, model = StudyWork(Study(config)), CostModel.read()
    costs: dict[JobKind, Cost] = {}
    for kind in map(tuple, kinds):
        with suppress(InputError):
            if cost := model.predict(_job(work, kind)):
                costs[kind] = cost
    sizes: dict[str, int] = {}
    with suppress(InputError):
        sizes = predicted_bytes(work)
    megabytes, largest = max(((c.megabytes, k[0]) for k, c in costs.items()), default=(0.0, ""))
    seconds = [(kind, cost.seconds) for kind, cost in costs.items()]
    found = {"seconds": seconds, "bytes": sizes, "megabytes": megabytes, "largest": largest}
    return {**found, "claims": summary_line([*prospects(work.study, with_needed=False)])}


def schedule(
    seconds: Sequence[float], after: Sequence[Collection[int]], workers: int
) -> tuple[float, float]:
    """Run jobs in turn, each as soon as its inputs are there, on the first free worker.

    `after` has, for each job, the places of those that it waits for. Returned are the seconds from
    the start of the first job to the end of the last, and those that no number of workers gets
    below: the longest chain of jobs that wait for each other.
    """
    order = TopologicalSorter(dict(enumerate(after)))
    order.prepare()
    ready: list[int] = []
    running: list[tuple[float, int]] = []
    critical: dict[int, float] = {}
    clock = 0.0
    while order.is_active():
        for index in order.get_ready():
            heapq.heappush(ready, index)
        while ready and len(running) < workers:
            index = heapq.heappop(ready)
            heapq.heappush(running, (clock + seconds[index], index))
        clock, index = heapq.heappop(running)
        before = max((critical[other] for other in after[index]), default=0.0)
        critical[index] = before + seconds[index]
        order.done(index)
    return clock, max(critical.values(), default=0.0)


# ------------------------------------------------------------------------- the studies that ran


def read_measurements(file: Path) -> dict[str, list[MeasuredJob]]:
    """Name of each study that a file lists to its jobs.

    The file is YAML with a list `measured` of `study` (a file) and `costs` (a `costs.csv`), from
    the current folder, `settings` that were others when it ran, `images` where a data set held a
    part of its images: name to train, validation and test, and `warm: true` where jobs started
    warm. A file that is missing or not what it should be is an InputError.
    """
    from sparsight.study.costs.work import StudyWork

    found = {}
    for entry in load_yaml(file).get("measured") or ():
        own = overlaid(catalogue_and_study(Path(), own=True), load_yaml(Path(entry["study"])))
        own = overlaid(own, entry.get("settings") or {})
        config, problems = resolve(normalise(own))
        if problems:
            raise InputError(" ".join(f"Configuration: {problem}" for problem in problems))
        work = StudyWork(Study(config), entry.get("images"))
        warm = bool(entry.get("warm"))
        found[config["study"]] = list(_measured_jobs(Path(entry["costs"]), work, warm))
    if not found:
        raise InputError(f"{file} lists no measured study; see benchmarks/costs/measured.yaml")
    return found


#: rules that no study has any more, in tables of studies that ran when they did
_FORMER_RULES = ("measure_conversion", "draw_conversion")


def _measured_jobs(table: Path, work: "StudyWork", warm: bool) -> Iterator[MeasuredJob]:
    import pandas as pd

    from sparsight.analysis import tables

    jobs: dict[JobKind, CostJob] = {}
    names = ("dataset", "model", "seed", "pruner", "level", "family")
    frame = tables.read("costs", table)
    for row in frame[~frame["rule"].isin(_FORMER_RULES)].to_dict("records"):
        wildcards = {n: str(row[n]) for n in names if not pd.isna(row[n]) and row[n] != ""}
        if row["rule"] == "make_epoch_point":
            wildcards["epoch"] = wildcards.pop("family", "0")
        kind = job_kind(row["rule"], wildcards)
        try:
            job = jobs[kind] = jobs.get(kind) or _job(work, kind)
        except (KeyError, StopIteration) as error:
            raise InputError(
                f"{table} has a job of {row['rule']} that {work.study.name} does not have "
                f"({wildcards}); name the configuration with which it ran"
            ) from error
        if math.isfinite(row["seconds"]):
            seed = int(wildcards["seed"]) if "seed" in wildcards else None
            yield MeasuredJob(job, float(row["seconds"]), float(row["max_rss_mb"]), seed, warm)


def check_lines(measured: Mapping[str, Sequence[MeasuredJob]]) -> Iterator[str]:
    """A table of errors, by study and by the rules that take most of its time, as Markdown.

    Each study is predicted from all others, and its further seeds from these and its first seed.
    """
    import pandas as pd

    yield "| study | fitted | measured, s | predicted, s | error | not predicted, s | of rules |"
    yield "|---|---|---|---|---|---|---|"
    for name, jobs in measured.items():
        others = [job for other, of in measured.items() if other != name for job in of]
        pilot = min((job.seed for job in jobs if job.seed is not None), default=None)
        first = [job for job in jobs if job.seed == pilot]
        rest = [job for job in jobs if job.seed not in (pilot, None)]
        for how, fitted, tested in (
            ("other studies", others, jobs),
            ("and its first seed", [*others, *first], rest),
        ):
            model = CostModel.fit(fitted)
            costs = [model.predict(one.job, one.warm) for one in tested]
            frame = pd.DataFrame(
                {
                    "rule": [one.job.key.partition("/")[0] for one in tested],
                    "measured": [one.seconds for one in tested],
                    "predicted": [cost.seconds if cost else math.nan for cost in costs],
                }
            )
            known, unknown = frame.dropna(), frame["measured"][frame["predicted"].isna()].sum()
            seconds, predicted = known["measured"].sum(), known["predicted"].sum()
            error = predicted / seconds - 1 if seconds else 0.0
            largest = known.groupby("rule").sum().nlargest(4, "measured")
            errors = largest["predicted"] / largest["measured"] - 1
            rules = ", ".join(f"{rule} {value:+.0%}" for rule, value in errors.items())
            yield (
                f"| {name} | {how} | {seconds:.0f} | {predicted:.0f} | {error:+.0%} "
                f"| {unknown:.0f} | {rules} |"
            )


def main(arguments: Sequence[str]) -> str:
    """What the command prints, or the console reads."""
    if arguments == ["--forecast"]:
        return json.dumps(forecast(**json.load(sys.stdin)))
    if arguments == ["--fit"]:
        measured = read_measurements(MEASURED).values()
        model = CostModel.fit(job for jobs in measured for job in jobs)
        FITTED.write_text(model.to_json(), encoding="utf-8")
        return f"{FITTED} holds the fit of {len(measured)} studies.\n"
    if arguments == ["--check"]:
        return "\n".join(check_lines(read_measurements(MEASURED))) + "\n"
    raise InputError("usage: python -m sparsight.study.costs.predict --fit | --check")


if __name__ == "__main__":
    try:
        sys.stdout.write(main(sys.argv[1:]))
    except InputError as error:
        sys.exit(str(error))
