"""Lines of a loop whose seconds are known."""

import logging

from sparsight.io.job import log_progress


def lines(caplog, seconds, total=None, every=30.0):
    """What a loop logs whose items take so long each."""
    clock = iter([0.0, *(sum(seconds[: n + 1]) for n in range(len(seconds)))])
    with caplog.at_level(logging.INFO):
        items = list(
            log_progress(range(len(seconds)), "batches", total, every, lambda: next(clock))
        )
    assert items == list(range(len(seconds)))
    return [record.getMessage() for record in caplog.records]


def test_a_line_every_so_often_with_the_time_left(caplog):
    # after 40 and 80 s; the end needs none
    assert lines(caplog, [10, 10, 20, 20, 20, 20], total=6) == [
        "3 of 6 batches, 40 s, left 40 s",
        "5 of 6 batches, 80 s, left 16 s",
    ]


def test_short_loops_say_nothing(caplog):
    assert lines(caplog, [5, 5, 5], total=3) == []


def test_an_unknown_number_has_no_time_left(caplog):
    assert lines(caplog, [31, 31]) == ["1 batches, 31 s", "2 batches, 62 s"]
