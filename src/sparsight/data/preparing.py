"""The jobs that bring a data set in: fetch its original files, pack them."""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sparsight.data.base import Source
from sparsight.data.location import raw_folder
from sparsight.data.packing import pack
from sparsight.data.registry import SOURCES
from sparsight.io.atomic import write_json
from sparsight.io.errors import CorruptFile, InputError
from sparsight.io.json_files import read_json
from sparsight.io.remedies import remedy

Settings = Mapping[str, Any]


def _source(settings: Settings) -> Source:
    source: Source = SOURCES.load(settings["source"])()
    return source


def fetch_dataset(settings: Settings, manifest: Path | str) -> None:
    """Find or download a data set's original files, and write down where they lie.

    What is downloaded is verified by checksum; what lies there already is verified as far as the
    source can (see `Source.fetch` of each: ImageNette's unpacked files are counted by class).

    Parameters
    ----------
    settings : `source`, the options of the source, and `data_folder`.
    manifest : JSON with the source's name, reference, licence and `folder` (null for embedded
        data). With `partial: true` also `files`, see `folder_content`: of a part, nothing else says
        which images are there.
    """
    source = _source(settings)
    facts = {"source": source.name, "reference": source.reference, "licence": source.licence}
    folder = None
    if name := source.folder_of(settings):
        folder = raw_folder(name, settings["data_folder"], other_names=source.other_folders)
        source.fetch(settings, folder)
    content: dict[str, Any] = {**facts, "folder": None if folder is None else str(folder)}
    if folder is not None and source.accepts_part(settings):
        content["files"] = folder_content(folder)
    write_json(manifest, content)


def folder_content(folder: Path) -> dict[str, int | str]:
    """Which files lie in a folder and below it; what links lead to counts too.

    Returns
    -------
    `count`, and `sha256` over their paths below `folder` and their sizes in bytes, which does not
    depend on the order in which they lie there. Their contents are not read.
    """
    found = []
    for place, _, names in os.walk(folder, followlinks=True):
        for name in names:
            path = Path(place, name)
            if path.is_file():
                found.append([path.relative_to(folder).as_posix(), path.stat().st_size])
    digest = hashlib.sha256(json.dumps(sorted(found)).encode())
    return {"count": len(found), "sha256": digest.hexdigest()}


def prepare_dataset(
    settings: Settings, manifest: Path | str, ids: Path | str, dataset: str
) -> None:
    """Pack the files that `fetch_dataset` found into the folder of `ids` (ids.parquet).

    Raises
    ------
    InputError
        When the manifest is corrupt, when the files have gone since, or cannot be used, or when
        those of a part have changed.
    """
    facts = read_json(manifest)
    if "folder" not in facts:
        raise CorruptFile(f"{manifest} does not say where the data are; {remedy(manifest)}")
    place = facts["folder"]
    if place is not None and not Path(place).is_dir():
        raise InputError(
            f"{place} is gone; delete {manifest} and run snakemake again to find the data"
        )
    if place is not None and "files" in facts and facts["files"] != folder_content(Path(place)):
        raise InputError(
            f"the files in {place} are no longer those that were found there; delete {manifest} "
            "and run snakemake again"
        )
    pack(_source(settings), settings, Path(place or ""), Path(ids).parent, dataset)
