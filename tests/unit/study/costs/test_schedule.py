"""Wall time of small plans that can be worked out by hand."""

import pytest

from sparsight.study.costs.predict import schedule
from sparsight.study.costs.work import PlannedJob


def chain(names, gpu=False):
    """Jobs that wait for each other, by the names of what they make."""
    return [
        PlannedJob("work", {}, (before,), (name,), gpu=gpu)
        for before, name in zip(("", *names), names, strict=False)
    ]


def test_a_chain_takes_its_sum_whatever_the_number_of_workers():
    jobs = chain("abc")
    for cores in (1, 4):
        found = schedule(jobs, [1, 2, 3], cores, 0)
        assert (found.seconds, found.critical) == (6, 6)


def test_two_chains_run_side_by_side_on_two_cores_only():
    jobs = [*chain("abc"), *chain("xyz")]
    seconds = [1, 2, 3, 1, 1, 1]
    assert schedule(jobs, seconds, 1, 0).seconds == 9
    assert schedule(jobs, seconds, 2, 0).seconds == 6
    assert schedule(jobs, seconds, 1, 0).critical == 6


def test_a_table_waits_for_all_chains():
    table = PlannedJob("table", {}, ("c", "z"), ("table",))
    found = schedule([*chain("abc"), *chain("xyz"), table], [1, 2, 3, 1, 1, 1, 10], 8, 0)
    assert (found.seconds, found.critical) == (16, 16)


def test_jobs_with_a_gpu_take_turns_on_it_beside_the_others():
    jobs = [PlannedJob("train", {}, (), (str(n),), gpu=True) for n in range(4)]
    jobs += [PlannedJob("draw", {}, (), (f"figure{n}",)) for n in range(2)]
    seconds = [5, 5, 5, 5, 8, 8]
    assert schedule(jobs, seconds, 2, 1).seconds == 20
    assert schedule(jobs, seconds, 2, 2).seconds == 10
    # without a GPU all share the cores
    assert schedule(jobs, seconds, 2, 0).seconds == 18


def test_inputs_that_no_job_makes_are_there_already():
    assert schedule([PlannedJob("work", {}, ("raw",), ("a",))], [4.0], 1, 0).seconds == 4
    assert schedule([], [], 1, 0).critical == pytest.approx(0)
