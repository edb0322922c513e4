"""`~` and `$VARIABLE` in the paths that people give: in the configuration and the environment."""

import os
import re
from collections.abc import Mapping
from pathlib import Path

from sparsight.io.errors import InputError

_VARIABLE = re.compile(r"\$(?:\{([^}]*)\}|([A-Za-z_][A-Za-z0-9_]*))")


def expanded(given: str, key: str, environ: Mapping[str, str] = os.environ) -> str:
    """A path with `~`, `~user`, `$VARIABLE` and `${VARIABLE}` replaced, as a shell does.

    Parameters
    ----------
    given : path as somebody wrote it.
    key : where it was written, for messages.
    environ : environment; `HOME` of it is `~`. What a variable holds is not expanded again.

    Raises
    ------
    InputError
        When a variable is not set or empty, or a user is unknown.
    """

    def value(match: re.Match[str]) -> str:
        name = match[1] if match[1] is not None else match[2]
        if not (found := environ.get(name)):
            raise InputError(
                f"{key} is {given}, but the environment variable {name or match[0]} is not set; "
                "set it, or write the path out"
            )
        return found

    home = environ.get("HOME")
    if home and (given == "~" or given.startswith("~/")):
        return home + _VARIABLE.sub(value, given[1:])
    if given.startswith("~"):
        user, slash, rest = given.partition("/")
        try:
            folder = str(Path(user).expanduser())
        except RuntimeError as error:
            raise InputError(
                f"{key} is {given}, but there is no user {user[1:] or 'of this process'} with a "
                "home; write the path out"
            ) from error
        return folder + slash + _VARIABLE.sub(value, rest)
    return _VARIABLE.sub(value, given)
