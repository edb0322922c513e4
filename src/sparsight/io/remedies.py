"""How a damaged file comes back: the command that remakes it, where the workflow made it."""

import os
import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path

#: The workflow keeps its own command line here, for the jobs that it starts.
ENVIRONMENT_VARIABLE = "SPARSIGHT_COMMAND"
DEFAULT_COMMAND = "snakemake --cores 1"
RESULTS = "results"
#: what the workflow makes in its data folder, wherever that is
MADE_OF_DATA = ("packed", "fetched")
#: options that make a run do everything again, or nothing
_LEFT_OUT = frozenset({"-F", "--forceall", "-f", "--force", "-n", "--dry-run", "--dryrun"})


def kept_command(arguments: Iterable[str]) -> str:
    """A run's command line as jobs shall repeat it.

    What makes a run do everything again, or nothing, is left out.

    Parameters
    ----------
    arguments : of Snakemake.
    """
    return shlex.join(["snakemake", *(word for word in arguments if word not in _LEFT_OUT)])


def remedy(path: Path | str, environ: Mapping[str, str] = os.environ) -> str:
    """The end of a sentence about a damaged file: what remakes it.

    `--forcerun` makes the file again and then all that was made from it, in one run. Within a job
    the options are those of the run, known from the environment; elsewhere the user adds them.

    Parameters
    ----------
    path : the file. What lies in a result tree, or was packed or fetched by the workflow, can be
        remade; all else (a checkpoint of the user's own) can only be copied or fetched again.
    environ : environment of the job.
    """
    folder, target = _made_by_workflow(Path(path))
    if target is None:
        return "the workflow did not make it: copy or fetch it again"
    command = environ.get(ENVIRONMENT_VARIABLE, DEFAULT_COMMAND)
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
