"""How many bad inputs a run has tried."""

import pytest

from sparsight.io.errors import InputError
from tests.bad_input.counting import Tried, check_sentence

FEWEST = 300


def test_enough_bad_inputs_were_tried(tried: Tried, is_whole: bool) -> None:
    if not is_whole:
        pytest.skip("only a part of these tests runs")
    assert tried.sentences >= FEWEST
    assert tried.tracebacks == 0


@pytest.mark.parametrize(
    "sentence",
    [
        *("", "short", "one line\nand another of them", "x.png is <class 'int'>; put it back"),
        *(f"x.png is {'long ' * 300}", "y.png is no image; put the original file there"),
    ],
)
def test_what_is_no_sentence_is_found(sentence: str) -> None:
    with pytest.raises(AssertionError):
        check_sentence(sentence, ["x.png"])


def test_what_is_written_is_found(tmp_path) -> None:
    def written() -> None:
        (tmp_path / ".x.1.partial").touch()
        raise InputError("x.png is no image; put the original file there")

    with pytest.raises(AssertionError, match="something was written"):
        Tried()(written, ["x.png"], tmp_path)


def test_another_exception_is_counted_and_raised() -> None:
    tried = Tried()
    with pytest.raises(ZeroDivisionError):
        tried(lambda: 1 / 0, [])
    assert (tried.tracebacks, tried.bad) == (1, 1)
