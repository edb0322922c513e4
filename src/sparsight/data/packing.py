"""Fetching a data set's original files, and packing them: a safetensors file per split, and ids.

Everything that must be equal for every network, level and explainer is drawn here, once, and stored
with the images: the noise of each image, and the order from which evaluation subsets are taken.
"""

import hashlib
import json
import logging
import math
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from sparsight.data.base import ANNOTATIONS, RawSplit, Source
from sparsight.data.draws import SUBSET_ORDER, image_noise, stratified_order
from sparsight.data.location import folder_states, raw_folder, same_names
from sparsight.data.packed_settings import (
    KEY,
    NOISE_DEFAULTS,
    content_settings,
    other_settings,
)
from sparsight.data.registry import SOURCES
from sparsight.data.settings import SPLITS, section, seed_number, whole_number
from sparsight.io.arrays import ArrayWriter
from sparsight.io.entries import header_metadata
from sparsight.io.errors import CorruptFile, InputError
from sparsight.io.files import read_json, remedy, write_json
from sparsight.io.tables import write_table

_LOG = logging.getLogger(__name__)


@contextmanager
def folder_lock(folder: Path) -> Iterator[bool]:
    """Hold the lock of `folder`, the file `.NAME.lock` next to it, while the block runs.

    Snakemake locks its own working folder only. The lock is one of the operating system's
    (`flock`): it is gone with the process, however that ends, and the file stays. On NFS it holds
    between machines where the server's locks are not switched off (`nolock`, `local_lock`). The
    block gets whether another process had the lock at first, and so may have done what is to be
    done.
    """
    path = folder.with_name(f".{folder.name}.lock")
    lock = FileLock(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        waited = False
        try:
            lock.acquire(blocking=False)
        except Timeout:
            _LOG.info("%s is held by another process; waiting for it", path)
            waited = True
            lock.acquire()
    except OSError as error:
        raise InputError(
            f"{path} cannot be locked ({error.strerror}); make its folder writable, or take "
            "another 'data_folder'"
        ) from error
    try:
        yield waited
    finally:
        lock.release()


#: of the stage `packing`: see `sparsight.study.versions`
VERSION = 1
IDS_FILE = "ids.parquet"
# Noise is drawn and written for so many images at a time, or so many values where images are
# large: drawing takes some twenty bytes a value.
CHUNK_IMAGES = 1024
CHUNK_VALUES = 2**20


def pack(
    source: Source,
    settings: Mapping[str, Any],
    raw_folder: Path | str,
    out_folder: Path | str,
    dataset: str | None = None,
) -> str:
    """Write `{split}.safetensors` for each of `SPLITS`, and `ids.parquet`, into `out_folder`.

    Parameters
    ----------
    source : where the images come from.
    settings : the source's own settings, and
        `noise`: {maximum: 51, seed: 0}, largest noise value (0..255) and its seed; without noise
        (`maximum: 0`) none is stored, and the condition `noisy` is equal to `clean`;
        `subset_seed`: 0, seed of the order from which evaluation subsets are taken.
    raw_folder : the original files, see `Source.fetch`.
    out_folder : where the packed files go. They appear together after all are complete. A split
        that the source does not have under these settings is a file without images.
    dataset : name of the data set instance for the metadata; the name of `out_folder` by default.

    Returns
    -------
    The data hash: SHA-256 over all splits' names, image ids, labels, images, masks, part masks,
    concepts and which of them are known, stickers and original labels.

    Raises
    ------
    InputError
        When files or settings cannot be used; nothing is then written.

    Notes
    -----
    Tensors of a split of N images: arrays of `RawSplit` (not `evaluated_first`), `noise` uint8
    [N, C, H, W], a function of (noise seed, image id) alone, unless `noise_maximum` is 0, and
    `evaluation_rank` int64 [N], place of the image in the stratified order: first among those that
    the source wants to be evaluated first, if any, then among the rest. Metadata: `dataset`,
    `source`, `split`, `classes` (JSON), `has_masks` ("true" or "false"), `data_hash`, `settings`
    (JSON, see `sparsight.data.packed_settings`), `noise_maximum`, `noise_seed`, `subset_seed`;
    `part_names`, `concept_names` and `sticker_names` (JSON) where there are any; and the notes of
    the source's description.
    """
    out_folder = Path(out_folder)
    noise = section(settings, "noise", NOISE_DEFAULTS)
    drawn = {
        "noise_maximum": whole_number(noise["maximum"], "noise: maximum", 0, 255),
        "noise_seed": seed_number(noise["seed"], "noise: seed"),
        "subset_seed": seed_number(settings.get("subset_seed", 0), "subset_seed"),
    }
    raw = source.read(settings, Path(raw_folder))
    description = source.describe(settings, Path(raw_folder))
    source.check(settings, raw, description)
    # In the order of the source's facts, whatever the order in which it read them.
    raw = {split: raw[split] for split in source.split_names(settings)}
    digest = hashlib.sha256()
    for split, part in raw.items():
        digest.update(split.encode())
        part.update_digest(digest)
    # A split that the source does not have, or that these settings leave out (no validation, where
    # nothing is chosen on it), is a file without images.
    nothing = raw["train"].select(np.zeros(0, np.int64))
    raw = {split: raw.get(split, nothing) for split in SPLITS}
    metadata = {
        "dataset": out_folder.name if dataset is None else dataset,
        "source": source.name,
        "classes": json.dumps(description.classes),
        "has_masks": "true" if description.has_masks else "false",
        "data_hash": digest.hexdigest(),
        KEY: json.dumps(content_settings(source.name, source.parameters, settings), sort_keys=True),
        **{key: str(value) for key, value in drawn.items()},
    }
    # Only where there are any, so that other files keep the bytes they have had.
    for key in ("part_names", "concept_names", "sticker_names"):
        if names := getattr(description, key):
            metadata[key] = json.dumps(names)
    metadata.update(description.notes)
    try:
        _write_together(out_folder, raw, metadata, drawn)
    except OSError as error:
        raise InputError(
            f"{out_folder} cannot be written ({error.strerror}); make room there or take another "
            "folder"
        ) from error
    return metadata["data_hash"]


def _write_together(
    out_folder: Path,
    raw: Mapping[str, RawSplit],
    metadata: Mapping[str, str],
    drawn: Mapping[str, int],
) -> None:
    """Write into a folder of its own, then move all files at once."""
    new_folder = not out_folder.exists()
    staging = out_folder / ".packing"
    # What a killed packing left; a folder has one writer at a time (`prepare_dataset` locks it).
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(parents=True)
    try:
        for split, part in raw.items():
            path = staging / f"{split}.safetensors"
            _write_split(path, part, {**metadata, "split": split}, drawn)
        _write_ids(staging / IDS_FILE, raw, json.loads(metadata.get("sticker_names", "[]")))
        # The ids go first and come last: while they are there, the splits belong together.
        (out_folder / IDS_FILE).unlink(missing_ok=True)
        for name in [*(f"{split}.safetensors" for split in raw), IDS_FILE]:
            (staging / name).replace(out_folder / name)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
        if new_folder and not any(out_folder.iterdir()):
            out_folder.rmdir()


def _write_split(
    path: Path, part: RawSplit, metadata: Mapping[str, str], drawn: Mapping[str, int]
) -> None:
    count, image_shape = len(part), part.images.shape[1:]
    rank = np.empty(count, dtype=np.int64)
    rank[_evaluation_order(part, drawn["subset_seed"])] = np.arange(count)
    small = {"labels": part.labels, "image_ids": part.image_ids, "evaluation_rank": rank}
    names = ("images", "masks", *ANNOTATIONS)
    arrays = {name: getattr(part, name) for name in names}
    stored: dict[str, NDArray[Any]] = {k: a for k, a in arrays.items() if a is not None}
    layout: dict[str, tuple[torch.dtype, tuple[int, ...]]] = {
        name: (torch.from_numpy(array[:0]).dtype, array.shape)
        for name, array in {**small, **stored}.items()
    }
    maximum, noise_seed = drawn["noise_maximum"], drawn["noise_seed"]
    if maximum:
        layout["noise"] = (torch.uint8, part.images.shape)
    step = max(1, min(CHUNK_IMAGES, CHUNK_VALUES // math.prod(image_shape)))
    with ArrayWriter(path, layout, metadata) as writer:
        for name, array in small.items():
            writer.append(name, torch.from_numpy(array))
        for start in range(0, count, step):
            chunk = slice(start, start + step)
            for name, array in stored.items():
                writer.append(name, torch.from_numpy(array[chunk]))
            if maximum:
                noise = image_noise(part.image_ids[chunk], image_shape, maximum, noise_seed)
                writer.append("noise", torch.from_numpy(noise))


def _evaluation_order(part: RawSplit, seed: int) -> NDArray[np.int64]:
    """Positions of the images in the order from which evaluation subsets are taken."""
    if part.evaluated_first is None:
        return stratified_order(part.labels, seed, SUBSET_ORDER)
    groups = [np.flatnonzero(part.evaluated_first), np.flatnonzero(~part.evaluated_first)]
    return np.concatenate(
        [group[stratified_order(part.labels[group], seed, SUBSET_ORDER)] for group in groups]
    )


def _write_ids(path: Path, raw: Mapping[str, RawSplit], sticker_names: Sequence[str]) -> None:
    columns: dict[str, Any] = {
        "image_id": np.concatenate([part.image_ids for part in raw.values()]),
        "split": [split for split, part in raw.items() for _ in range(len(part))],
        "name": [name for part in raw.values() for name in part.names],
        "label": np.concatenate([part.labels for part in raw.values()]),
    }
    if sticker_names:
        # -1, without a sticker, is the last of them.
        known = [*sticker_names, ""]
        stickers = [part.stickers for part in raw.values() if part.stickers is not None]
        originals = [p.original_labels for p in raw.values() if p.original_labels is not None]
        columns["sticker"] = [known[k] for k in np.concatenate(stickers)]
        columns["original_label"] = np.concatenate(originals)
    write_table(path, columns)


#: of the stage `fetching`: see `sparsight.study.versions`
FETCHING_VERSION = 1
Settings = Mapping[str, Any]


def _source(settings: Settings) -> Source:
    source: Source = SOURCES.load(settings["source"])()
    return source


def fetch_dataset(settings: Settings, manifest: Path | str) -> None:
    """Find or download a data set's original files, verify them, and write down where they lie.

    Parameters
    ----------
    settings : `source`, the options of the source, and `data_folder`.
    manifest : JSON with the source's name, reference, licence and `folder` (null for embedded
        data), and `files`: which files are there, see `sparsight.data.location.folder_states`; for
        files of the user's own, `found` has what they tell, see `sparsight.data.own_files`.
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
    if found := source.found_files(settings):
        content["found"] = found
    write_json(manifest, content)


def prepare_dataset(
    settings: Settings, manifest: Path | str, ids: Path | str, dataset: str
) -> None:
    """Pack the files that `fetch_dataset` found into the folder of `ids` (ids.parquet).

    The folder is locked meanwhile. What another study packed with equal settings while this job
    waited for the lock is left as it is. Files that have gone since, or of a part have changed, and
    a study that just packed with other settings, are an `InputError`.
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
        then = facts.get("files", {})
        for name, state in folder_states(source.original_folders(settings, Path(place))).items():
            if not same_names(then.get(name, {}), state):
                raise InputError(
                    f"the files in {name} are no longer those that were found there; delete "
                    f"{manifest} and run snakemake again"
                )
    folder = Path(ids).parent
    with folder_lock(folder) as waited:
        if not (waited and _just_packed(source, settings, folder)):
            pack(source, settings, Path(place or ""), folder, dataset)


def _just_packed(source: Source, settings: Settings, folder: Path) -> bool:
    """Whether the process that had the lock has packed what this job is to pack."""
    metadata = header_metadata(folder / "test.safetensors")
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
