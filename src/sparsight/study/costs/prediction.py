"""What the jobs of a study will take, from a fitted model of costs."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from sparsight.analysis.cost_model import Cost, CostModel
from sparsight.study.costs.dry_run import PlannedJob
from sparsight.study.costs.schedule import Schedule, schedule
from sparsight.study.costs.work import StudyWork, cost_job


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
