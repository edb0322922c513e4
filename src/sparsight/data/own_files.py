"""Data sets of the user's own: their shape, classes and splits are known from the files alone."""

import json
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from sparsight.data.base import Description, Source
from sparsight.data.scans import Scan, find_scan, key_of, planned_state
from sparsight.data.settings import SPLITS
from sparsight.io.errors import InputError

#: entries of a scan that hold notes for the metadata of the packed files
NOTES = "notes"


class OwnFiles(Source):
    """A source of the user's own files, which its setting `path` names.

    What other sources state as facts comes from a look at the files (`scan`), which is kept; see
    `sparsight.data.scans`. The workflow looks when it plans, and prepares the data set again when
    the names, sizes or times of its files have changed.

    A subclass has the settings `path` and `scans` (where scans are kept; the workflow names a
    folder below its data folder), and says in `path_parameters` which settings are paths.
    """

    folder: ClassVar[str] = ""
    downloadable: ClassVar[bool] = False
    has_masks: ClassVar[bool] = False
    # Nothing is known without files.
    image_shape: ClassVar[tuple[int, int, int]] = (0, 0, 0)
    class_count: ClassVar[int] = 0
    test_images: ClassVar[int] = 0
    path_parameters: ClassVar[tuple[str, ...]] = ("path",)
    varying: ClassVar[tuple[str, ...]] = (
        "class_count",
        "has_masks",
        "test_images",
        "concept_names",
        "image_shape",
    )

    @classmethod
    @abstractmethod
    def state(cls, settings: Mapping[str, Any]) -> str:
        """The state of the files, as `sparsight.data.scans.state_of` gives it."""

    @classmethod
    @abstractmethod
    def scan(cls, settings: Mapping[str, Any]) -> Scan:
        """Look at all files.

        Returns
        -------
        What JSON can hold: `image_shape` [C, H, W]; `classes`, names; `images`, split to number,
        without splits that have none; `has_masks`; `concepts`, names; and maybe `notes`, texts for
        the metadata of the packed files.

        Raises
        ------
        InputError
            When something is wrong with them that can be seen without decoding all images.
        """

    @classmethod
    def path_of(cls, settings: Mapping[str, Any]) -> Path:
        """The setting `path`."""
        given = settings.get("path")
        if not isinstance(given, str) or not given:
            raise InputError(f"'path' must be the path of your images, not {given!r}")
        return Path(given)

    @classmethod
    def scan_key(cls, settings: Mapping[str, Any]) -> str:
        """Under which name the scan is kept: it depends on all options."""
        options = {
            name: settings.get(name, default)
            for name, default in cls.parameters.items()
            if name != "scans"
        }
        return key_of(f"{cls.name} {cls.version}", options)

    @classmethod
    def found(cls, settings: Mapping[str, Any], look: bool = False) -> Scan:
        """The scan, kept or new; with `look` it is compared with the files in any case."""
        return find_scan(
            cls.scan_key(settings),
            str(settings.get("scans") or ""),
            lambda: cls.state(settings),
            lambda: cls.scan(settings),
            look,
        )

    def found_files(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """See `Source.found_files`: the scan, after a look at the files."""
        return {"path": str(self.path_of(settings)), **self.found(settings, look=True)}

    def fetch(self, settings: Mapping[str, Any], folder: Path) -> None:
        """Look at the files; what is wrong with them is an `InputError`."""
        self.found(settings, look=True)

    def refuse_changes(self, settings: Mapping[str, Any]) -> None:
        """An error where the files are no longer those with which the run was planned."""
        planned = planned_state(self.scan_key(settings))
        if planned not in (None, self.found(settings, look=True)["state"]):
            raise InputError(
                f"the files of {self.path_of(settings)} have changed since this run was planned; "
                "run snakemake again"
            )

    @classmethod
    def shape(cls, settings: Mapping[str, Any]) -> tuple[int, int, int]:
        """(C, H, W) of the packed images."""
        channels, height, width = cls.found(settings)["image_shape"]
        return channels, height, width

    @classmethod
    def images_of(cls, settings: Mapping[str, Any]) -> dict[str, int]:
        """Split to number of images, without splits that have none."""
        return dict(cls.found(settings)["images"])

    @classmethod
    def split_names(cls, settings: Mapping[str, Any]) -> tuple[str, ...]:
        """The splits that have images."""
        return tuple(split for split in SPLITS if split in cls.images_of(settings))

    @classmethod
    def classes_of(cls, settings: Mapping[str, Any]) -> list[str]:
        """Names of the classes in the order of the labels."""
        return list(cls.found(settings)["classes"])

    @classmethod
    def masks_of(cls, settings: Mapping[str, Any]) -> bool:
        """Whether there are masks."""
        return bool(cls.found(settings)["has_masks"])

    @classmethod
    def concepts_of(cls, settings: Mapping[str, Any]) -> tuple[str, ...]:
        """Names of the concepts."""
        return tuple(cls.found(settings)["concepts"])

    @classmethod
    def tested_of(cls, settings: Mapping[str, Any]) -> int:
        """Images of the test split."""
        return cls.images_of(settings)["test"]

    def describe(self, settings: Mapping[str, Any], folder: Path) -> Description:
        """See `Source.describe`; with the scan's notes."""
        notes = self.found(settings).get(NOTES, {})
        return replace(super().describe(settings, folder), notes=notes)


def joined(names: list[str], most: int = 10) -> str:
    """The first names, and how many more there are, for error messages."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def as_note(names: list[str]) -> str:
    """A list of names as the metadata of packed files hold it."""
    return json.dumps(names, ensure_ascii=False)
