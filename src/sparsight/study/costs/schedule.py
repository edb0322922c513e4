"""How long jobs take on a number of workers, each job waiting for those whose files it reads."""

import heapq
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from sparsight.study.costs.dry_run import PlannedJob


@dataclass(frozen=True)
class Schedule:
    """Seconds from the start of the first job to the end of the last.

    Attributes
    ----------
    seconds : with the given workers.
    critical : with any number of them: the longest chain of jobs that wait for each other.
    """

    seconds: float
    critical: float


def schedule(
    jobs: Sequence[PlannedJob], seconds: Sequence[float], cores: int, gpus: int
) -> Schedule:
    """Run jobs in turn, as they become ready, on the first free worker.

    Parameters
    ----------
    jobs : with their inputs and outputs, in an order in which they can run.
    seconds : of each job.
    cores : jobs at a time that need no GPU.
    gpus : jobs at a time that ask for one; 0 where they run on the cores, as the others do.
    """
    waits = _waits(jobs)
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


def _waits(jobs: Sequence[PlannedJob]) -> list[set[int]]:
    """For each job, the jobs that make its inputs."""
    maker = {path: index for index, job in enumerate(jobs) for path in job.outputs}
    return [{maker[path] for path in job.inputs if path in maker} for job in jobs]
