"""The jobs that bring a data set in: fetch its original files, pack them."""

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sparsight.data.base import Source
from sparsight.data.folder_lock import folder_lock
from sparsight.data.location import raw_folder
from sparsight.data.originals import folder_states, same_names
from sparsight.data.packed_settings import content_settings, other_settings, packed_metadata
from sparsight.data.packing import IDS_FILE, pack
from sparsight.data.registry import SOURCES
from sparsight.io.atomic import write_json
from sparsight.io.errors import CorruptFile, InputError
from sparsight.io.json_files import read_json
from sparsight.io.remedies import remedy

#: of the stage `fetching`: see `sparsight.study.versions`
VERSION = 1

Settings = Mapping[str, Any]
_LOG = logging.getLogger(__name__)


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
        data), and `files`: which original files are there, see
        `sparsight.data.originals.folder_states`.
    """
    source = _source(settings)
    facts = {"source": source.name, "reference": source.reference, "licence": source.licence}
    folder = None
    if name := source.folder_of(settings):
        folder = raw_folder(name, settings["data_folder"], other_names=source.other_folders)
        # Other data sets of the same files, and other studies, fetch them at the same time.
        with folder_lock(Path(settings["data_folder"]) / name):
            source.fetch(settings, folder)
    content: dict[str, Any] = {**facts, "folder": None if folder is None else str(folder)}
    if folder is not None:
        content["files"] = folder_states(source.original_folders(settings, folder))
    write_json(manifest, content)


def prepare_dataset(
    settings: Settings, manifest: Path | str, ids: Path | str, dataset: str
) -> None:
    """Pack the files that `fetch_dataset` found into the folder of `ids` (ids.parquet).

    The folder is locked meanwhile. What another study packed with equal settings while this job
    waited for the lock is left as it is.

    Raises
    ------
    InputError
        When the manifest is corrupt, when the files have gone since, or cannot be used, when those
        of a part have changed, or when another study just packed with other settings.
    """
    source = _source(settings)
    facts = read_json(manifest)
    if "folder" not in facts:
        raise CorruptFile(f"{manifest} does not say where the data are; {remedy(manifest)}")
    place = facts["folder"]
    if place is not None and not Path(place).is_dir():
        raise InputError(
            f"{place} is gone; delete {manifest} and run snakemake again to find the data"
        )
    # Of a part, nothing else says which images are there.
    if place is not None and source.accepts_part(settings):
        _refuse_other_files(source, settings, Path(place), facts, manifest)
    folder = Path(ids).parent
    with folder_lock(folder) as waited:
        if not (waited and _just_packed(source, settings, folder)):
            pack(source, settings, Path(place or ""), folder, dataset)


def _refuse_other_files(
    source: Source, settings: Settings, place: Path, facts: Mapping[str, Any], manifest: Path | str
) -> None:
    found = facts.get("files", {})
    for folder, state in folder_states(source.original_folders(settings, place)).items():
        if not same_names(found.get(folder, {}), state):
            raise InputError(
                f"the files in {folder} are no longer those that were found there; delete "
                f"{manifest} and run snakemake again"
            )


def _just_packed(source: Source, settings: Settings, folder: Path) -> bool:
    """Whether the process that had the lock has packed what this job is to pack."""
    metadata = packed_metadata(folder / "test.safetensors")
    if metadata is None or not (folder / IDS_FILE).is_file():
        return False
    wanted = json.loads(json.dumps(content_settings(source.name, source.parameters, settings)))
    if differences := other_settings(metadata, wanted):
        raise InputError(
            f"another study has just packed {folder} with other settings ({differences}); give "
            "this one a 'data_folder' of its own"
        )
    _LOG.info("%s was packed by another process with the same settings", folder)
    return True
