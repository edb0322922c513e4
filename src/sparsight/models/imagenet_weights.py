"""torchvision's ImageNet weights: found on this machine, or downloaded and verified."""

import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from sparsight.data.download import fetch_files, verify_files
from sparsight.data.location import ENVIRONMENT_VARIABLE, places
from sparsight.io.atomic import write_json
from sparsight.io.errors import InputError
from sparsight.io.provenance import sha256_of

#: of the stage `weights`: see `sparsight.study.versions`
VERSION = 1

logger = logging.getLogger(__name__)

#: folder of these files, in the data folder and in $SPARSIGHT_DATA
FOLDER = "weights"
MIRRORS = ("https://download.pytorch.org/models/",)


def checksum_in(name: str) -> str:
    """The first digits of a file's SHA-256, which end its name: `resnet50-0676ba61.pth`.

    Raises
    ------
    InputError
        When the name has none.
    """
    digits = name.partition(".")[0].rpartition("-")[2]
    if len(digits) < 8 or set(digits) - set("0123456789abcdef"):
        raise InputError(f"the name {name} does not end in digits of a SHA-256; rename the file")
    return digits


def fetch_weights(
    name: str,
    data_folder: Path | str,
    manifest: Path | str,
    mirrors: Sequence[str] = MIRRORS,
    environ: Mapping[str, str] = os.environ,
) -> None:
    """Find or download a file of weights, verify it, and write down where it lies.

    Parameters
    ----------
    name : torchvision's file name.
    data_folder : `data_folder/weights` goes first, `$SPARSIGHT_DATA/weights` second; downloads go
        to the first.
    manifest : JSON with the file's `path`, `name` and whole `sha256`, which is compared again when
        the weights are used.
    mirrors : addresses of folders that hold such files.

    Raises
    ------
    InputError
        When there is no such file and none can be had, or when it does not match its checksum.
    """
    folders = [place / FOLDER for place in places(data_folder, environ)]
    checksums = {name: checksum_in(name)}
    found = next((folder for folder in folders if (folder / name).is_file()), None)
    if found is not None:
        verify_files(found, checksums)
    else:
        found = folders[0]
        remedy = f"or into ${ENVIRONMENT_VARIABLE}/{FOLDER}"
        fetch_files(found, checksums, mirrors, remedy=remedy)
    logger.info("weights are those of %s", found / name)
    path = found / name
    write_json(manifest, {"name": name, "path": str(path), "sha256": sha256_of(path)})
