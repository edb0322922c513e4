import pytest

from sparsight.io.errors import InputError
from sparsight.io.files import expand_path

ENVIRON = {"HOME": "/home/ada", "SCRATCH": "/scratch", "ODD": "$HOME", "EMPTY": ""}


@pytest.mark.parametrize(
    ("given", "right"),
    [
        ("~/x", "/home/ada/x"),
        ("~", "/home/ada"),
        ("$HOME/x", "/home/ada/x"),
        ("${SCRATCH}/a/$HOME", "/scratch/a//home/ada"),
        ("$ODD/x", "$HOME/x"),
        ("data", "data"),
        ("a/~/b~", "a/~/b~"),
        ("5$", "5$"),
    ],
)
def test_as_a_shell_does(given: str, right: str) -> None:
    assert expand_path(given, "data_folder", ENVIRON) == right


@pytest.mark.parametrize("given", ["$NOWHERE/x", "${NOWHERE}", "$EMPTY/x", "~no_such_user/x"])
def test_what_stands_for_nothing_is_an_error(given: str) -> None:
    with pytest.raises(InputError, match="data_folder"):
        expand_path(given, "data_folder", ENVIRON)
