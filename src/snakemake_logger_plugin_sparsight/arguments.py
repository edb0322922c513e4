"""Snakemake's options as Snakemake itself understood them, those from profiles too.

Workflows see only some of them, and most of these too late to say anything before Snakemake does.
"""

import contextlib
import io
import sys
from argparse import Namespace
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from snakemake.cli import parse_args, parse_config
from snakemake.common import get_appdirs
from snakemake.exceptions import WorkflowError

from sparsight.io.errors import InputError
from sparsight.study.command_line import (
    check_configuration_file,
    check_profile_file,
    check_writable,
)

#: Snakemake imports all plugins before it changes to the folder of `--directory`
_STARTED_IN = Path.cwd()


@dataclass(frozen=True)
class CommandLine:
    """What a user called Snakemake with.

    Attributes
    ----------
    options : all options with their values, under the names that Snakemake gives them.
    names : all options that there are, without dashes.
    profiles : files of the profiles that were read.
    folder : where Snakemake was started.
    """

    options: Namespace
    names: frozenset[str]
    profiles: tuple[Path, ...]
    folder: Path


@cache
def command_line() -> CommandLine | None:
    """The command line of this run; None where another program runs Snakemake."""
    if Path(sys.argv[0]).name not in ("snakemake", "__main__.py"):
        return None
    with (
        contextlib.chdir(_STARTED_IN),
        contextlib.redirect_stderr(io.StringIO()),  # says again which profiles are used
        contextlib.suppress(SystemExit, WorkflowError),
    ):
        parser, options = parse_args(None)
        names = {name.lstrip("-") for action in parser._actions for name in action.option_strings}
        profiles = tuple(_STARTED_IN / path for path in parser._default_config_files)
        return CommandLine(options, frozenset(names), profiles, _STARTED_IN)
    return None


def refuse_what_stops_snakemake() -> None:
    """Leave with one message where Snakemake would end in a traceback before it reads a workflow.

    Configuration files and profiles are read strictly; Snakemake's own folders must be writable.

    Raises
    ------
    SystemExit : with the message.
    """
    found = command_line()
    if found is None:
        return
    try:
        for path in found.profiles:
            check_profile_file(path, found.names)
        for path in found.options.configfile or ():
            check_configuration_file("--configfile", path)
        _check_arguments(found.options.config)
        check_writable(
            found.folder / (found.options.directory or ".") / ".snakemake",
            "work in another folder, which --directory names",
        )
        check_writable(
            Path(get_appdirs().user_cache_dir),
            "Snakemake keeps copies of its scripts there: set XDG_CACHE_HOME to a folder that can",
        )
    except InputError as error:
        sys.exit(str(error))


def _check_arguments(entries: list[str] | None) -> None:
    try:
        parse_config(entries)
    except (ValueError, AssertionError) as error:
        raise InputError(f"--config: {str(error) or 'an entry has no value'}") from error
