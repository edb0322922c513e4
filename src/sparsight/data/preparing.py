"""The jobs that bring a data set in: fetch its original files, pack them."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sparsight.data.base import Source
from sparsight.data.location import raw_folder
from sparsight.data.packing import pack
from sparsight.data.registry import SOURCES
from sparsight.io.atomic import write_json
from sparsight.io.errors import InputError

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
        data).
    """
    source = _source(settings)
    facts = {"source": source.name, "reference": source.reference, "licence": source.licence}
    folder = None
    if name := source.folder_of(settings):
        folder = raw_folder(name, settings["data_folder"])
        source.fetch(settings, folder)
    write_json(manifest, {**facts, "folder": None if folder is None else str(folder)})


def prepare_dataset(
    settings: Settings, manifest: Path | str, ids: Path | str, dataset: str
) -> None:
    """Pack the files that `fetch_dataset` found into the folder of `ids` (ids.parquet).

    Raises
    ------
    InputError
        When the files have gone since, or cannot be used.
    """
    place = json.loads(Path(manifest).read_text(encoding="utf-8"))["folder"]
    if place is not None and not Path(place).is_dir():
        raise InputError(
            f"{place} is gone; delete {manifest} and run snakemake again to find the data"
        )
    pack(_source(settings), settings, Path(place or ""), Path(ids).parent, dataset)
