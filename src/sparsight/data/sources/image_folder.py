"""Images of the user's own: a folder for every class, or a table that says which image is what."""

import filecmp
import logging
import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from sparsight.data.base import read_table
from sparsight.data.draws import (
    Positions,
    grouped_splits,
    refuse_empty_classes,
    shared_groups,
    split_column,
    stratified_splits,
)
from sparsight.data.location import is_below
from sparsight.data.own_files import NOTES, OwnFiles, as_note, joined
from sparsight.data.own_pictures import (
    ENDINGS,
    Seen,
    Undecodable,
    check_mask_size,
    look_at,
    read_own_masks,
    read_own_pictures,
)
from sparsight.data.pictures import RESIZES, Frame, PictureSource, Pixels, picture_size, room_for
from sparsight.data.scans import FilesGone, Scan, keep_scan, state_of
from sparsight.data.settings import (
    LARGEST_SIDE,
    SPLITS,
    one_of,
    split_rule,
    whole_number,
    yes_or_no,
)
from sparsight.io.errors import InputError
from sparsight.io.files import write_text

if TYPE_CHECKING:
    import pandas as pd

_LOG = logging.getLogger(__name__)
#: what folders and tables call the splits, in small letters
SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
    "testing": "test",
}
BOX = ("x0", "y0", "x1", "y1")
RULES = ("auto", "given", "random", "stratified", "grouped")
#: of the metadata of packed files: the share of test images whose group is also in `train`
LEAK = "test_images_of_trained_groups"
#: and the names of pictures that were left out
UNREADABLE = "unreadable"
_COLUMNS = ("file", "label", "split", "group", "mask", *BOX)
# Before the names of concepts in a listing, whose other columns may be called the same.
_CONCEPT = "concept: "
_FLOAT = re.compile(r"[+-]?(\d+\.\d*|\.\d+)([eE][+-]?\d+)?|[+-]?\d+[eE][+-]?\d+")
_INTEGER = re.compile(r"[+-]?\d+")
# Written by file managers next to pictures; names that begin with a dot are hidden anyway.
_NO_FOLDERS = ("__MACOSX",)
# Rather a setting that was forgotten than a class.
_MASK_FOLDERS = ("mask", "masks")


def find_pictures(folder: Path) -> list[str]:
    """Paths of all pictures below a folder, relative to it, by their endings; sorted.

    Hidden files and folders are left out. What links lead to counts too. The order is that of the
    names' bytes in UTF-8, whatever the locale.
    """
    found, seen = [], set()

    def refuse(error: OSError) -> None:
        # Else its pictures would be missing without a word.
        raise InputError(
            f"{error.filename} cannot be read ({error.strerror}); make it readable, or move it away"
        ) from error

    for place, folders, names in os.walk(folder, onerror=refuse, followlinks=True):
        # A link to a folder above would lead around in circles.
        state = Path(place).stat()
        if (state.st_dev, state.st_ino) in seen:
            folders.clear()
            continue
        seen.add((state.st_dev, state.st_ino))
        folders[:] = [name for name in folders if _is_shown(name)]
        below = PurePosixPath(Path(place).relative_to(folder).as_posix())
        found += [
            str(below / name)
            for name in names
            if _is_shown(name) and Path(name).suffix.lower() in ENDINGS
        ]
    return sorted(found)


def _is_shown(name: str) -> bool:
    return not name.startswith(".") and name not in _NO_FOLDERS


def _subfolders(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.is_dir() and _is_shown(path.name))


class ImageFolder(OwnFiles, PictureSource):
    """Images of the user's own, in a folder for every class or listed by a table.

    Folders are `path/CLASS/…`, or `path/SPLIT/CLASS/…` with the splits train, val (or valid,
    validation) and test. A table has the columns `file` (below `path`) and `label`, and maybe
    `split`; `group` (patient, lesion, burst: what must not be learnt and tested at once); `mask` (a
    file below `path`), or the corners `x0`, `y0`, `x1`, `y1` of a box that becomes the mask, in
    pixels of the upright picture; all further columns are concepts: 1, 0, or empty where nobody
    knows.

    Pictures are turned as their EXIF data say; what is see-through becomes white; 16 bits are
    scaled to 8. (torchvision does neither of the first two.) Classes are in the order of their
    names' bytes, as with torchvision's `ImageFolder`; a table's whole numbers are in their own
    order. An image's id is its place among the sorted names of all pictures, so it changes when
    images are added.

    Settings
    --------
    path : the folder. Relative to the working folder; `~` and `$VARIABLE` are replaced.
    table : the table, relative to `path` or to the working folder; without one, folders say all.
    masks : folder with a mask of every picture, of the same relative name whatever its ending;
        relative to `path` or to the working folder. (With a table, its column `mask` says where.)
    size : side of the packed images in pixels; without it, images of one size keep it.
    resize : `aspect`: the shorter side to `size`, then the middle; or `squash`: both to `size`.
    channels : 1 or 3; without it 1 where all pictures are grey, else 3.
    classes : names of the classes in the order of the labels, where it is to be another one.
    concepts : names of the columns that are concepts, where not all further ones are.
    split : {rule: auto, test: 0.2, validation: 0.0, seed: 0}. The rule is `given` (by folders or by
        the column `split`), `grouped` (stratified, every group in one split), `stratified` or
        `random`; `auto` is the first of these that is possible. `test` and `validation` are shares
        or numbers of images. With `given`, `validation` is drawn from the training images where no
        images are given for it.
    skip_unreadable : go on without pictures that cannot be read, and write down their names in the
        metadata of the packed files.
    scans : where is kept what a look at the files has told; the workflow names a folder.
    """

    name: ClassVar[str] = "image_folder"
    reference: ClassVar[str] = "the user's own images"
    licence: ClassVar[str] = "that of the images"
    side_parameter: ClassVar[str] = ""
    complete_splits: ClassVar[tuple[str, ...]] = ("train",)
    path_parameters: ClassVar[tuple[str, ...]] = ("path", "table", "masks")
    # None where a number, a word or a list is possible, or nothing at all.
    parameters: ClassVar[dict[str, Any]] = {
        "path": "required",
        "table": None,
        "masks": None,
        "size": None,
        "resize": "aspect",
        "channels": None,
        "classes": None,
        "concepts": None,
        "split": {"rule": "auto", "test": 0.2, "validation": 0.0, "seed": 0},
        "skip_unreadable": False,
        "scans": "",
    }

    # ------------------------------------------------------------------------------ which pictures

    @classmethod
    def _beside(cls, settings: Mapping[str, Any], key: str) -> Path | None:
        """The path that a setting names, below `path` or from the working folder."""
        given = settings.get(key)
        if given is None:
            return None
        if not isinstance(given, str) or not given:
            raise InputError(f"'{key}' must be a path, not {given!r}")
        below = cls.path_of(settings) / given
        return below if below.exists() or not Path(given).exists() else Path(given)

    @classmethod
    def _folder(cls, settings: Mapping[str, Any]) -> Path:
        folder = cls.path_of(settings)
        if not folder.is_dir():
            what = "is a file" if folder.exists() else "does not exist"
            raise FilesGone(f"'path' is {folder}, which {what}; name the folder with your images")
        return folder

    @classmethod
    def _mask_folder(cls, settings: Mapping[str, Any]) -> Path | None:
        folder = cls._beside(settings, "masks")
        if folder is not None and cls._beside(settings, "table") is not None:
            raise InputError(
                "'masks' is a folder for images in folders; with 'table', its column 'mask' says "
                "where masks are: leave out 'masks'"
            )
        if folder is not None and not folder.is_dir():
            raise InputError(f"'masks' is {folder}, which is no folder; name that of the masks")
        return folder

    @classmethod
    def state(cls, settings: Mapping[str, Any]) -> str:
        """See `OwnFiles.state`: of all pictures and masks, and of the table with its content."""
        folder, table = cls._folder(settings), cls._beside(settings, "table")
        if table is None:
            masks = cls._mask_folder(settings)
            places = [folder] if masks is None else [folder, masks]
            paths = [place / name for place in places for name in find_pictures(place)]
            # An empty folder is a class without images.
            return state_of(paths, *_subfolders(folder))
        rows = _listed(table)
        more = [folder / name for name in rows.get("mask", ())]
        return state_of(
            [*(folder / name for name in rows["file"]), *more], rows.to_csv(index=False)
        )

    @classmethod
    def _rows(cls, settings: Mapping[str, Any]) -> "pd.DataFrame":
        """All pictures, sorted by name: `name`, `path`, `label` (text), `split` (or empty).

        And where there are any, `group`, `mask` (a path), the box and the concepts, as text.
        """
        folder, table = cls._folder(settings), cls._beside(settings, "table")
        if table is None:
            return _rows_of_folders(folder, cls._mask_folder(settings))
        cls._mask_folder(settings)
        return _rows_of_table(folder, table)

    @classmethod
    def _concept_columns(cls, settings: Mapping[str, Any], rows: "pd.DataFrame") -> list[str]:
        there = [name.removeprefix(_CONCEPT) for name in rows.columns if name.startswith(_CONCEPT)]
        wanted = settings.get("concepts")
        if wanted is None:
            return there
        if not isinstance(wanted, list | tuple) or not all(name in there for name in wanted):
            raise InputError(
                f"'concepts' must list columns of the table ({', '.join(there) or 'it has none'}), "
                f"not {wanted!r}"
            )
        return list(wanted)

    @classmethod
    def _order(cls, settings: Mapping[str, Any], rows: "pd.DataFrame") -> list[str]:
        """The classes in the order of the labels."""
        there = set(rows["label"])
        if cls._beside(settings, "table") is not None and all(map(_INTEGER.fullmatch, there)):
            classes = sorted(there, key=lambda label: (int(label), label))
        else:
            classes = sorted(there)
        wanted = settings.get("classes")
        if wanted is not None:
            if not isinstance(wanted, list | tuple):
                raise InputError(f"'classes' must be a list of names, not {wanted!r}")
            named = [str(name) for name in wanted]
            if sorted(named) != sorted(classes):
                odd = sorted({*named} ^ there) or [name for name in named if named.count(name) > 1]
                raise InputError(
                    f"'classes' must name every class once; look at {joined(odd)} (there are "
                    f"{joined(classes)})"
                )
            classes = named
        if len(classes) < 2:
            raise InputError(
                f"{cls.path_of(settings)} has one class only, {classes[0]}; a network tells at "
                "least two apart: put the images of each into a folder or give each its label"
            )
        return classes

    # ---------------------------------------------------------------------------------- splits

    def listing(self, settings: Mapping[str, Any], folder: Path) -> "pd.DataFrame":
        """See `PictureSource.listing`; without the pictures that cannot be read."""
        return self._listing(settings, self.found(settings)["unreadable"])

    @classmethod
    def _listing(cls, settings: Mapping[str, Any], unreadable: Mapping[str, str]) -> "pd.DataFrame":
        import pandas as pd

        rows = cls._rows(settings)
        rows = rows.assign(image_id=np.arange(len(rows), dtype=np.int64))
        rows = rows[~rows["name"].isin(list(unreadable))].reset_index(drop=True)
        if rows.empty:
            raise InputError(f"{cls.path_of(settings)} has no picture that can be read")
        classes = pd.Categorical(rows["label"], cls._order(settings, rows))
        labels = np.array(classes.codes, np.int64)
        places = cls._draw(settings, rows, labels)
        split = split_column(places, len(rows))
        return rows.assign(split=split, **{"class": classes})

    @classmethod
    def _draw(
        cls, settings: Mapping[str, Any], rows: "pd.DataFrame", labels: NDArray[np.int64]
    ) -> dict[str, Positions]:
        """The splits: positions of their images."""
        split = split_rule(settings, cls.parameters["split"], RULES)
        seed, test, validation = (split[key] for key in ("seed", "test", "validation"))
        is_given, groups = bool((rows["split"] != "").any()), list(rows.get("group", ()))
        rule, path = split["rule"], cls.path_of(settings)
        if rule == "auto":
            rule = "given" if is_given else "grouped" if groups else "stratified"
        if rule == "grouped" and not groups:
            raise InputError("'split: rule: grouped' needs a table with a column 'group'; add one")
        if rule == "given":
            if not is_given:
                raise InputError(
                    f"'split: rule: given' needs folders train and test in {path}, or a table with "
                    "a column 'split'; take another rule"
                )
            return cls._given(settings, rows, labels, groups)
        if not test:
            raise InputError("'split: test' must leave images to test on; give a share or a number")
        if rule == "grouped":
            return grouped_splits(labels, groups, seed, test, validation)
        drawn = labels if rule == "stratified" else np.zeros_like(labels)
        return stratified_splits(drawn, seed, test, validation)

    @classmethod
    def _given(
        cls,
        settings: Mapping[str, Any],
        rows: "pd.DataFrame",
        labels: NDArray[np.int64],
        groups: Sequence[str],
    ) -> dict[str, Positions]:
        split = split_rule(settings, cls.parameters["split"], RULES)
        if "test" in settings.get("split", {}):
            raise InputError(
                "'split: test' has no meaning where the splits are given; leave it out, or take "
                "another rule"
            )
        places = {name: np.flatnonzero(rows["split"] == name) for name in SPLITS}
        for name in ("train", "test"):
            if not len(places[name]):
                raise InputError(
                    f"{cls.path_of(settings)} has no images for '{name}' among its splits; add "
                    "some, or draw the splits with 'split: rule: stratified'"
                )
        if not split["validation"]:
            return {name: found for name, found in places.items() if len(found)}
        if len(places["validation"]):
            raise InputError(
                "'split: validation' has no meaning where images are given for it; leave it out"
            )
        ours, wanted = places["train"], (split["seed"], 0, split["validation"])
        drawn = (
            grouped_splits(labels[ours], [groups[place] for place in ours.tolist()], *wanted)
            if groups
            else stratified_splits(labels[ours], *wanted)
        )
        return {**places, **{name: ours[drawn[name]] for name in ("train", "validation")}}

    # ------------------------------------------------------------------------------------ scan

    @classmethod
    def scan(cls, settings: Mapping[str, Any]) -> Scan:
        """See `OwnFiles.scan`; also `unreadable`, name to reason."""
        return cls._scan(settings, {})

    @classmethod
    def _scan(cls, settings: Mapping[str, Any], damaged: Mapping[str, str]) -> Scan:
        """`damaged` are pictures of which is known that they cannot be decoded."""
        skip = yes_or_no(settings, "skip_unreadable")
        one_of(settings, "resize", "aspect", RESIZES)
        rows = cls._rows(settings)
        concepts = cls._concept_columns(settings, rows)
        seen: dict[str, Seen] = {}
        unreadable = dict(damaged)
        for name, path in zip(rows["name"], rows["path"], strict=True):
            if name not in damaged:
                try:
                    seen[name] = look_at(path)
                except InputError as error:
                    unreadable[name] = str(error)
        if unreadable and not skip:
            raise _unreadable_pictures(settings, cls.scan_key(settings), unreadable, len(rows))
        listing = cls._listing(settings, unreadable)
        _known_concepts(listing, concepts)
        _check_masks(listing, seen)
        counts = {split: int((listing["split"] == split).sum()) for split in SPLITS}
        classes = list(listing["class"].cat.categories)
        train = listing["split"] == "train"
        labels = np.array(listing["class"].cat.codes, np.int64)
        refuse_empty_classes(str(cls.path_of(settings)), "train", labels[train], classes)
        notes = {UNREADABLE: as_note(sorted(unreadable))} if unreadable else {}
        if "group" in listing:
            ours, test = (np.flatnonzero(listing["split"] == name) for name in ("train", "test"))
            notes[LEAK] = f"{shared_groups(listing['group'].tolist(), ours, test):.4f}"
        return {
            "image_shape": cls._packed_shape(settings, seen),
            "classes": classes,
            "images": {split: count for split, count in counts.items() if count},
            "has_masks": "mask" in listing or "x0" in listing,
            "concepts": concepts,
            "unreadable": unreadable,
            NOTES: notes,
        }

    @classmethod
    def _packed_shape(cls, settings: Mapping[str, Any], seen: Mapping[str, Seen]) -> list[int]:
        channels = settings.get("channels")
        if channels not in (None, 1, 3) or isinstance(channels, bool):
            raise InputError(f"'channels' must be 1 or 3, not {channels!r}")
        channels = channels or (1 if all(one.grey for one in seen.values()) else 3)
        size = settings.get("size")
        if size is not None:
            side = whole_number(size, "size", 1, LARGEST_SIDE)
            return [channels, side, side]
        sizes = {(one.width, one.height): name for name, one in seen.items()}
        if len(sizes) > 1:
            examples = [f"{name} has {w}×{h}" for (w, h), name in list(sizes.items())[:2]]
            raise InputError(
                f"the pictures of {cls.path_of(settings)} differ in size ({', '.join(examples)}); "
                "give 'size', the side to which all are brought"
            )
        [(width, height)] = sizes
        if max(width, height) > LARGEST_SIDE:
            raise InputError(
                f"the pictures of {cls.path_of(settings)} have {width}×{height} pixels, more than "
                f"{LARGEST_SIDE} on a side; give 'size', the side to which all are brought"
            )
        return [channels, height, width]

    # ------------------------------------------------------------------------------------ read

    def read(self, settings: Mapping[str, Any], folder: Path) -> "dict[str, Any]":
        """See `Source.read`.

        Pictures that turn out to be damaged only when they are decoded are left out of all draws,
        with `skip_unreadable`; else they are an `InputError`.
        """
        self.refuse_changes(settings)
        try:
            return super().read(settings, self.path_of(settings))
        except _Damaged as error:
            before = self.found(settings)
            scan = self._scan(settings, {**before["unreadable"], **error.names})
            keep_scan(
                self.scan_key(settings),
                str(settings.get("scans") or ""),
                {**scan, "state": before["state"]},
            )
        return self.read(settings, folder)

    @classmethod
    def _fit(cls, settings: Mapping[str, Any]) -> str:
        return "keep" if settings.get("size") is None else cls.resize_of(settings)

    def pictures(self, settings: Mapping[str, Any], chosen: "pd.DataFrame", side: int) -> Pixels:
        """See `PictureSource.pictures`."""
        try:
            return read_own_pictures(
                chosen["path"].tolist(), self.shape(settings), self._fit(settings)
            )
        except Undecodable as error:
            if not yes_or_no(settings, "skip_unreadable"):
                raise InputError(
                    f"{error}; replace or remove them, or go on without them with "
                    "'skip_unreadable: true'"
                ) from error
            names = chosen["name"].iloc[error.positions]
            raise _Damaged(dict.fromkeys(names, "it cannot be decoded")) from error

    def masks(
        self, settings: Mapping[str, Any], folder: Path, chosen: "pd.DataFrame", side: int
    ) -> dict[str, Pixels]:
        """See `PictureSource.masks`: files, or boxes."""
        shape, fit = self.shape(settings), self._fit(settings)
        photographs = chosen["path"].tolist()
        if "mask" in chosen:
            return {"masks": read_own_masks(chosen["mask"].tolist(), photographs, shape, fit)}
        if "x0" not in chosen:
            return {}
        masks = room_for((len(chosen), *shape[1:]))
        for row, (x0, y0, x1, y1) in enumerate(chosen[[*BOX]].astype(float).to_numpy().tolist()):
            seen = look_at(photographs[row])
            size = seen.width, seen.height
            frame = Frame.whole(*size) if fit == "keep" else Frame.of(*size, shape[1], fit)
            masks[row] = frame.box(x0, y0, x1 - x0, y1 - y0)
        return {"masks": masks}

    def known_concepts(
        self, settings: Mapping[str, Any], folder: Path, listing: "pd.DataFrame"
    ) -> dict[str, NDArray[np.bool_]]:
        """See `PictureSource.known_concepts`."""
        return _known_concepts(listing, self.found(settings)["concepts"])


class _Damaged(Exception):
    """Pictures, by name with a reason, that are to be left out from now on."""

    def __init__(self, names: dict[str, str]) -> None:
        super().__init__()
        self.names = names


def _unreadable_pictures(
    settings: Mapping[str, Any], key: str, unreadable: Mapping[str, str], count: int
) -> InputError:
    """The error for pictures that cannot be read; a file next to the scans lists all of many."""
    names, where = sorted(unreadable), ""
    if len(names) > 10 and settings.get("scans"):
        path = Path(settings["scans"]) / f"{key}_unreadable.txt"
        write_text(path, "".join(f"{name}: {unreadable[name]}\n" for name in names))
        where = f" ({path} lists all)"
    return InputError(
        f"{len(names)} of {count} pictures cannot be read: {joined(names)}{where}; the first: "
        f"{unreadable[names[0]]}; or go on without them with 'skip_unreadable: true'"
    )


# ------------------------------------------------------------------------------ folders and tables


def _rows_of_folders(folder: Path, masks: Path | None) -> "pd.DataFrame":
    import pandas as pd

    inside = masks is not None and folder.resolve() in masks.resolve().parents
    apart = masks.resolve().relative_to(folder.resolve()).parts if masks and inside else ()
    names = [
        name
        for name in find_pictures(folder)
        if not apart or PurePosixPath(name).parts[: len(apart)] != apart
    ]
    _refuse_odd_names(folder, names)
    filled = {name.partition("/")[0] for name in names}
    # Of a folder for masks alone, nothing is a class or a split.
    tops = [name for name in _subfolders(folder) if name in filled or name not in apart[:1]]
    if not names:
        raise InputError(f"{folder} has no pictures; put them into a folder for each class")
    unnamed = next((name for name in tops if name.casefold() in _MASK_FOLDERS), None)
    if unnamed is not None:
        raise InputError(
            f"{folder} has the folder {unnamed}, which is not said to hold masks; add 'masks: "
            f"{unnamed}', move it away, or rename it if it is a class"
        )
    splits = {name: SPLIT_NAMES.get(name.casefold(), "") for name in tops}
    deep = any(splits.values())
    if deep and not all(splits.values()):
        odd = next(name for name in tops if not splits[name])
        even = next(name for name in tops if splits[name])
        raise InputError(
            f"{folder} has the folders {even} and {odd}: the first is named like a split, the "
            "second is not one (train, val, test); rename it, or move it away"
        )
    counts = Counter(splits.values())
    twice = next((name for name in tops if deep and counts[splits[name]] > 1), None)
    if twice is not None:
        raise InputError(
            f"{folder} has two folders for the split '{splits[twice]}', of which {twice} is one; "
            "move their images together"
        )
    depth = 2 if deep else 1
    parts = [name.split("/") for name in names]
    stray = next((n for n, one in zip(names, parts, strict=True) if len(one) <= depth), None)
    if stray is not None:
        raise InputError(
            f"{folder / stray} lies in no folder of a class; move it into one, or list the images "
            "in a table ('table')"
        )
    labels = [one[depth - 1] for one in parts]
    _refuse_odd_classes(folder, tops if deep else [""], labels, parts if deep else None)
    rows = pd.DataFrame(
        {
            "name": names,
            "path": [folder / name for name in names],
            "label": labels,
            "split": [splits[one[0]] if deep else "" for one in parts],
        }
    )
    if deep:
        _refuse_copies(folder, names)
    if masks is not None:
        rows["mask"] = pd.Series(_masks_by_name(masks, names))
    return rows


def _refuse_odd_names(folder: Path, names: Sequence[str]) -> None:
    for name in names:
        try:
            name.encode()
        except UnicodeEncodeError:
            shown = name.encode(errors="replace").decode()
            raise InputError(f"{folder} has a name that is no UTF-8 ({shown}); rename it") from None


def _refuse_odd_classes(
    folder: Path, places: Sequence[str], labels: Sequence[str], deep: Sequence[Sequence[str]] | None
) -> None:
    """Refuse folders of classes without images, and below splits those named like a split."""
    filled = {(one[0], one[1]) for one in deep} if deep else {("", label) for label in labels}
    for place in places:
        for label in _subfolders(folder / place):
            if place and label.casefold() in SPLIT_NAMES:
                raise InputError(
                    f"{folder / place / label} is named like a split, where a class is meant; "
                    "rename it"
                )
            # The folder of masks is no class; nor is what holds only such.
            if (place, label) not in filled and not find_pictures(folder / place / label):
                raise InputError(
                    f"the class {folder / place / label} has no pictures; add some, or remove the "
                    "folder"
                )


def _refuse_copies(folder: Path, names: Sequence[str]) -> None:
    """Refuse a picture that is in two splits, under one name in one class."""
    known: dict[str, str] = {}
    for name in names:
        other = known.setdefault(name.partition("/")[2], name)
        if other != name and _is_copy(folder / name, folder / other):
            raise InputError(
                f"{folder / name} is the same picture as {other}, in another split; remove one"
            )


def _is_copy(one: Path, other: Path) -> bool:
    """Whether two files have the same content; what is no file is looked at later."""
    try:
        return filecmp.cmp(one, other, shallow=False)
    except OSError:
        return False


def _masks_by_name(masks: Path, names: Sequence[str]) -> list[Path]:
    found: dict[str, str] = {}
    for name in find_pictures(masks):
        stem = str(PurePosixPath(name).with_suffix(""))
        if stem in found:
            raise InputError(f"{masks / name} and {found[stem]} are masks of one picture; keep one")
        found[stem] = name
    stems = [str(PurePosixPath(name).with_suffix("")) for name in names]
    missing = [name for name, stem in zip(names, stems, strict=True) if stem not in found]
    if missing:
        raise InputError(
            f"{masks} has no mask of {len(missing)} pictures ({joined(missing)}); add them under "
            "the same names, or leave out 'masks'"
        )
    return [masks / found[stem] for stem in stems]


def _listed(table: Path) -> "pd.DataFrame":
    """The table as it is; paths are brought to one form."""
    rows = read_table(table, ("file", "label"), more=True)
    for column in ("file", "mask"):
        if column in rows:
            rows[column] = [os.path.normpath(text) if text else "" for text in rows[column]]
    return rows


def _rows_of_table(folder: Path, table: Path) -> "pd.DataFrame":
    rows = _listed(table)
    if rows.empty:
        raise InputError(f"{table} lists no images; add a line for each")

    def refuse(wrong: "pd.Series", what: str) -> None:
        if wrong.any():
            # Line 1 has the names of the columns.
            place = int(np.flatnonzero(wrong)[0])
            raise InputError(f"{table}, line {place + 2} ({rows['file'][place][:80]}): {what}")

    for column in ("file", "mask"):
        if column in rows:
            odd = ~rows[column].map(lambda name: bool(name) and is_below(name))
            refuse(odd, f"'{column}' must name a file below {folder}")
    refuse(rows["file"].duplicated(), "the file is listed twice; remove one of the lines")
    refuse(rows["label"] == "", "'label' is empty; fill it in")
    refuse(
        rows["label"].map(lambda text: bool(_FLOAT.fullmatch(text))),
        "'label' is a number with a fraction, and labels are names or whole numbers; make classes "
        "of it",
    )
    given = rows.get("split")
    if given is None:
        rows["split"] = ""
    else:
        split = given.str.casefold().map(SPLIT_NAMES).fillna("")
        refuse(split == "", "'split' must be train, val or test")
        rows["split"] = split
    if "group" in rows:
        refuse(rows["group"] == "", "'group' is empty; give every image a group")
    box = [name for name in BOX if name in rows]
    if box and (len(box) < len(BOX) or "mask" in rows):
        raise InputError(
            f"{table} has the columns {', '.join([*box, *rows.columns.intersection(['mask'])])}; a "
            "mask is either a file in 'mask' or a box in x0, y0, x1 and y1: keep one of them, whole"
        )
    for name in box:
        rows[name] = _numbers(rows[name])
        refuse(rows[name].isna(), f"'{name}' must be a number")
    if box:
        empty = (rows["x0"] >= rows["x1"]) | (rows["y0"] >= rows["y1"])
        refuse(empty, "the box is empty: x0 must be below x1, and y0 below y1")
    concepts = {name: f"{_CONCEPT}{name}" for name in rows.columns if name not in _COLUMNS}
    rows = rows.rename(columns={"file": "name", **concepts}).sort_values("name", ignore_index=True)
    _refuse_odd_names(folder, rows["name"].tolist())
    if "mask" in rows:
        rows["mask"] = [folder / name for name in rows["mask"]]
    return rows.assign(path=[folder / name for name in rows["name"]])


def _numbers(texts: "pd.Series") -> "pd.Series":
    """Finite numbers; NaN for all else."""
    import pandas as pd

    found = pd.to_numeric(texts, errors="coerce").astype(float)
    return found.where(np.isfinite(found))


def _known_concepts(listing: "pd.DataFrame", names: Sequence[str]) -> dict[str, NDArray[np.bool_]]:
    """`concepts` and, where some are empty, `concepts_known`, bool [N, K]."""
    if not names:
        return {}
    words = {"1": 1, "1.0": 1, "0": 0, "0.0": 0, "": -1}
    texts = listing[[f"{_CONCEPT}{name}" for name in names]].set_axis([*names], axis="columns")
    coded = texts.apply(lambda column: column.map(words))
    for name in names:
        for place in np.flatnonzero(coded[name].isna())[:1]:
            raise InputError(
                f"the column '{name}' has {texts[name].iloc[place][:40]!r} "
                f"({listing['name'].iloc[place]}), where concepts are 1, 0 or empty; name the "
                "concepts with 'concepts', or remove the column"
            )
    values = coded.to_numpy(np.int64)
    found = {"concepts": values == 1}
    return found if (values >= 0).all() else {**found, "concepts_known": values >= 0}


def _check_masks(listing: "pd.DataFrame", seen: Mapping[str, Seen]) -> None:
    """Refuse masks that are missing or show another field, and boxes outside of their pictures."""
    if "mask" in listing:
        for name, path, mask in zip(*(listing[k] for k in ("name", "path", "mask")), strict=True):
            check_mask_size(mask, picture_size(mask), path, seen[name])
    if "x0" in listing:
        boxes = listing[[*BOX]].to_numpy(float).tolist()
        for name, (x0, y0, x1, y1) in zip(listing["name"], boxes, strict=True):
            one = seen[name]
            # Some count pixels from 0, others from 1.
            if min(x0, y0) < -1 or x1 > one.width + 1 or y1 > one.height + 1:
                raise InputError(
                    f"the box ({x0:g}, {y0:g}) to ({x1:g}, {y1:g}) is not within {name}, which has "
                    f"{one.width}×{one.height} pixels; correct it in the table"
                )
