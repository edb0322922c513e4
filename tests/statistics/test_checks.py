"""The checks themselves can fail."""

import pytest


def hits(count: int, trials: int) -> list[bool]:
    return [True] * count + [False] * (trials - count)


@pytest.fixture
def quiet(simulated):
    """Checks whose rows are not those of a simulation."""
    return type(simulated)(lambda row: None)


@pytest.mark.parametrize("count", [1820, 1965])
def test_a_rate_that_is_not_nominal_is_refused(quiet, count):
    quiet.nominal("right", hits(1900, 2000), 0.95)
    with pytest.raises(AssertionError, match="wrong"):
        quiet.nominal("wrong", hits(count, 2000), 0.95)


def test_a_simulation_that_could_not_tell_is_refused(quiet):
    with pytest.raises(AssertionError, match="too few"):
        quiet.nominal("small", hits(190, 200), 0.95)


@pytest.mark.parametrize("count", [390, 410, 590])
def test_a_failure_must_show_beyond_the_error(quiet, count):
    quiet.between("plain", hits(500, 1000), 0.4, 0.6)
    with pytest.raises(AssertionError, match="unclear"):
        quiet.between("unclear", hits(count, 1000), 0.4, 0.6)


def test_an_upper_bound(quiet):
    quiet.at_most("below", hits(10, 1000), 0.05)
    with pytest.raises(AssertionError, match="above"):
        quiet.at_most("above", hits(90, 1000), 0.05)
