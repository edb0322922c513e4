"""Lines of a run whose times are known."""

import pytest

from sparsight.study.progress import RunProgress, benchmark_seconds, duration, wildcard_text

PLANNED = {"train": 2, "draw": 3, "all": 1}


def test_a_line_for_each_finished_job_and_for_the_first_start_of_a_rule():
    run = RunProgress(PLANNED, begun=0.0)
    assert run.started(1, "train", "digits seed0", 0.0) == "0/5   0%  train  digits seed0  started"
    assert run.started(2, "train", "digits seed1", 0.0) == ""
    # 10 s of the first; the second has had 10 s of its 10; of drawings nothing is known
    assert run.finished(1, 10.0) == (
        "1/5  20%  train  digits seed0  10 s; 4 jobs left, 3 not timed yet"
    )
    # the second took twice as long; two jobs at a time so far
    run.started(3, "draw", "a", 10.0)
    assert run.finished(3, 14.0) == "2/5  40%  draw  a  4 s; 3 jobs left, about 4 s"


def test_predictions_stand_for_jobs_that_none_has_timed():
    run = RunProgress({"train": 2, "draw": 4, "all": 1}, 0.0, {"train": 600.0, "draw": 40.0})
    assert run.opening(0.0) == "0/6   0%  6 jobs left, about 10 min 40 s"
    # a machine that takes twice as long: what is drawn is expected to take longer too
    run.started(1, "train", "", 0.0)
    run.finished(1, 600.0)
    assert run.seconds_of("train") == pytest.approx((600 + 300 * 660 / 360) / 2)
    assert run.seconds_of("draw") == pytest.approx(10 * 660 / 360)
    # jobs of its own outweigh what others say
    for number in (2, 3, 4):
        run.started(number, "draw", "", 600.0)
        run.finished(number, 602.0, seconds=2.0)
    assert run.seconds_of("draw") < 10


def test_short_jobs_of_another_pace_say_little_about_long_ones():
    run = RunProgress({"fetch": 1, "train": 10}, 0.0, {"fetch": 2.0, "train": 6000.0})
    run.started(1, "fetch", "", 0.0)
    run.finished(1, 10.0)
    assert run.seconds_of("train") == pytest.approx(600 * 70 / 62)


def test_what_no_finished_job_says_is_counted_and_not_guessed():
    run = RunProgress({"train": 3, "draw": 1}, begun=0.0)
    run.started(1, "train", "", 0.0)
    # one at a time
    assert run.finished(1, 60.0).endswith(
        "1 min 0 s; 3 jobs left, about 2 min 0 s and 1 not timed yet"
    )


def test_waiting_in_a_queue_is_no_work():
    run = RunProgress({"train": 10}, begun=0.0)
    for number in range(10):
        run.started(number, "train", "", 0.0, queued=True)
    # two at a time: two minutes of work in one, eight are left
    run.finished(0, 60.0, seconds=60.0)
    run.finished(1, 60.0, seconds=60.0)
    assert run.seconds_left(60.0) == pytest.approx(240)


def test_time_left_goes_by_the_seconds_of_each_rule():
    run = RunProgress(PLANNED, begun=0.0)
    now = 0.0
    for number, rule, seconds in ((1, "train", 100), (2, "draw", 2)):
        run.started(number, rule, "", now)
        now += seconds
        run.finished(number, now)
    # one training of 100 s and two drawings of 2 s, one at a time
    assert run.seconds_left(now) == pytest.approx(104)


def test_running_jobs_have_had_a_part_of_their_time():
    run = RunProgress({"train": 3}, begun=0.0)
    run.started(1, "train", "", 0.0)
    run.finished(1, 100.0)
    run.started(2, "train", "", 100.0)
    # 60 s of the running one and 100 s of the waiting one
    assert run.seconds_left(140.0) == pytest.approx(160)
    # longer than expected: it takes nothing from the waiting one
    assert run.seconds_left(300.0) == pytest.approx(100)


def test_idle_workers_make_it_longer():
    run = RunProgress({"train": 2}, begun=0.0)
    run.started(1, "train", "", 90.0)
    # in 100 s only 10 s of work were done
    run.finished(1, 100.0)
    assert run.seconds_left(100.0) == pytest.approx(100)


def test_measured_seconds_count_before_the_clock():
    run = RunProgress({"train": 2}, begun=0.0)
    run.started(1, "train", "seed0", 0.0)
    # waited for 50 s in the queue of a cluster
    assert run.finished(1, 60.0, seconds=10.0).startswith(
        "1/2  50%  train  seed0  10 s; 1 job left, "
    )


def test_the_last_job_a_target_and_an_unknown_one():
    run = RunProgress({"train": 1, "all": 1}, begun=0.0)
    run.started(1, "train", "seed0", 0.0)
    assert run.finished(1, 8.0) == "1/1 100%  train  seed0  8 s; done"
    assert run.started(2, "all", "", 8.0) == ""
    assert run.finished(2, 8.0) == ""
    assert run.finished(3, 8.0) == ""


def test_a_job_that_failed_is_not_done():
    run = RunProgress({"train": 1}, begun=0.0)
    run.started(1, "train", "", 0.0)
    run.failed(1)
    assert (run.done, run.finished(1, 5.0)) == (0, "")
    run.started(1, "train", "", 5.0)
    run.finished(1, 9.0)
    assert run.done == 1


def test_words():
    assert wildcard_text({"dataset": "d", "seed": "3", "pruner": "p", "level": "02"}) == (
        "d seed3 p level02"
    )
    assert [duration(s) for s in (0.4, 59.4, 111, 3600, 12000, 187200)] == [
        "0 s",
        "59 s",
        "1 min 51 s",
        "1 h 0 min",
        "3 h 20 min",
        "2 d 4 h",
    ]


def test_seconds_of_a_benchmark_file(tmp_path):
    file = tmp_path / "a.jsonl"
    file.write_text('{"s": 1.5}\n{"s": 2.5}\n')
    assert benchmark_seconds(file) == 2.5
    file.write_text("")
    assert benchmark_seconds(file) is None
    assert benchmark_seconds(tmp_path / "none") is None
    assert benchmark_seconds(None) is None
