"""How bad inputs are counted."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from sparsight.io.errors import InputError
from tests.bad_input.counting import Tried, check_sentence
from tests.tallies import BAD_INPUT, FEWEST_BAD_INPUTS, Tallies


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


@pytest.mark.parametrize(("tried", "status"), [(FEWEST_BAD_INPUTS, 0), (FEWEST_BAD_INPUTS - 1, 1)])
@pytest.mark.parametrize("files", ["all", "some"])
def test_a_whole_run_with_too_few_bad_inputs_fails(
    pytestconfig: pytest.Config, tried: int, status: int, files: str
) -> None:
    tallies = Tallies(pytestconfig)
    tallies.whole = True
    paths = sorted(Path(__file__).parent.glob("test_*.py"))
    for path in paths if files == "all" else paths[1:]:
        report = SimpleNamespace(when="teardown", fspath=str(path), user_properties=[])
        tallies.pytest_runtest_logreport(report)  # type: ignore[arg-type]
    tallies.rows[BAD_INPUT].append({"messages": tried})
    session = SimpleNamespace(exitstatus=0)
    tallies.pytest_sessionfinish(session)  # type: ignore[arg-type]
    assert session.exitstatus == (status if files == "all" else 0)
