"""Costs fitted to jobs whose costs are known."""

import math

import pytest

from sparsight.study.costs.predict import START, CostModel, MeasuredJob
from sparsight.study.costs.work import CostJob


def job(kind="train", key="train/digits", memory=None, **work):
    return CostJob(kind, key, work, memory or {})


def measured(seconds, megabytes=100.0, **given):
    return MeasuredJob(job(**given), seconds, megabytes)


def test_start_and_coefficients_come_out_where_jobs_are_exact_sums():
    # 2 s of starting, 3 s a unit of operations, 0.5 s a unit of images
    jobs = [
        measured(2 + 3 * a + 0.5 * b, key=f"train/{a}{b}", operations=a, images=b)
        for a, b in ((0, 0), (1, 0), (0, 4), (2, 2), (5, 1))
    ]
    fit = CostModel.fit(jobs).fits["train"]
    assert fit.seconds == pytest.approx({START: 2, "operations": 3, "images": 0.5})


def test_a_job_that_started_warm_has_no_start():
    cold = [measured(2 + 3 * a, key=f"train/{a}", operations=a) for a in (1, 2)]
    warm = [
        MeasuredJob(job(key=f"train/{a}", operations=a), 3.0 * a, math.nan, warm=True)
        for a in (2, 3, 5)
    ]
    model = CostModel.fit([*cold, *warm])
    assert model.fits["train"].seconds == pytest.approx({START: 2, "operations": 3})
    # jobs of a key that only ran warm are predicted as cold ones
    assert model.predict(job(key="train/5", operations=5)).seconds == pytest.approx(17)
    assert model.predict(job(key="train/5", operations=5), warm=True).seconds == pytest.approx(15)
    assert CostModel.fit(warm).fits["train"].seconds == pytest.approx({START: 0, "operations": 3})


def test_a_predicted_job_of_another_size():
    jobs = [measured(2 + 3 * a, key=f"train/{a}", operations=a) for a in (1, 2, 4)]
    cost = CostModel.fit(jobs).predict(job(key="train/new", operations=10))
    assert cost.seconds == pytest.approx(32)


def test_no_coefficient_is_negative():
    # larger jobs were faster: nothing is learnt from that
    jobs = [measured(s, key=f"train/{a}", operations=a) for a, s in ((1, 9), (2, 6), (3, 3))]
    assert CostModel.fit(jobs).fits["train"].seconds["operations"] == 0


def test_totals_come_out_where_equal_jobs_differ():
    # weighed by 1/seconds (estimated by the measured ones), the mean of equal jobs is the harmonic
    # one; the correction of their key makes the total that of the jobs
    model = CostModel.fit([measured(10, operations=1), measured(30, operations=1)])
    assert 2 * model.predict(job(operations=1)).seconds == pytest.approx(40)


def test_a_measured_key_corrects_its_own_jobs_and_no_others():
    general = [measured(2 + 3 * a, key=f"train/{a}", operations=a) for a in range(1, 40)]
    # on this data set everything takes twice as long
    slow = [measured(2 * (2 + 3 * 5), key="train/slow", operations=5)]
    model = CostModel.fit([*general, *slow])
    plain = model.predict(job(key="train/new", operations=10)).seconds
    assert plain == pytest.approx(32, rel=0.05)
    slower = model.predict(job(key="train/slow", operations=10)).seconds
    assert slower == pytest.approx(2 * plain, rel=0.1)


def test_memory_follows_its_own_sizes_and_leaves_out_what_was_not_sampled():
    jobs = [
        measured(1, 500 + 1000 * gb, key=f"train/{gb}", memory={"data": gb}) for gb in (0, 1, 3)
    ]
    jobs.append(measured(1, math.nan, key="train/short", memory={"data": 9}))
    model = CostModel.fit(jobs)
    assert model.fits["train"].megabytes == pytest.approx({START: 500, "data": 1000})
    cost = model.predict(job(key="train/new", memory={"data": 2.0}))
    assert cost.megabytes == pytest.approx(2500)


def test_what_nothing_like_it_was_measured_is_not_known():
    model = CostModel.fit([measured(1, operations=1, images=0)])
    assert model.predict(job(operations=2)) is not None
    assert model.predict(job(operations=2, images=0)) is not None
    assert model.predict(job(kind="draw")) is None
    # all measured jobs had no images: what an image costs cannot be told
    assert model.predict(job(operations=2, images=1)) is None
