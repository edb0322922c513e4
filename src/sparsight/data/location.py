"""Where the original files of a data set lie on this machine."""

import os
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

ENVIRONMENT_VARIABLE = "SPARSIGHT_DATA"
# What file systems take, and several times what the names of any data set here have.
LONGEST_NAME = 255


def is_below(name: str) -> bool:
    """Whether a path that a file gives stays below the folder that it is meant for."""
    place = PurePosixPath(name)
    return not place.is_absolute() and ".." not in place.parts and "\0" not in name


def can_be_file(name: str) -> bool:
    """Whether a path that a table gives can be that of a file below the table's folder."""
    return name.strip("/.") != "" and len(os.fsencode(name)) <= LONGEST_NAME and is_below(name)


def find_folder(
    folder_name: str, data_dir: Path | str = "data", environ: Mapping[str, str] = os.environ
) -> Path | None:
    """The folder with the original files, or None where there is none yet.

    Parameters
    ----------
    folder_name : name of the archive's own folder (`mnist`, `CUB_200_2011`).
    data_dir : the workflow's data folder, which goes first.
    environ : environment; `$SPARSIGHT_DATA/{folder_name}` goes second.

    Returns
    -------
    The first of the two that is a folder with something in it. An empty folder, such as a stopped
    download leaves, does not hide a filled one.
    """
    candidates = [Path(data_dir) / folder_name]
    if shared := environ.get(ENVIRONMENT_VARIABLE):
        candidates.append(Path(shared).expanduser() / folder_name)
    for candidate in candidates:
        if candidate.is_dir() and any(candidate.iterdir()):
            return candidate
    return None


def raw_folder(
    folder_name: str, data_dir: Path | str = "data", environ: Mapping[str, str] = os.environ
) -> Path:
    """`find_folder`, or where a download shall go: `data_dir/folder_name`."""
    return find_folder(folder_name, data_dir, environ) or Path(data_dir) / folder_name
