"""Small data sets in their original layouts, of which files are replaced and put back."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sparsight.data.base import Source
from sparsight.data.packing import pack
from tests.bad_input.counting import Tried
from tests.unit.data import test_cub200, test_derm7pt, test_ham10000

SETTINGS: dict[str, Any] = {"size": 8, "noise": {"maximum": 0}}


class DataSet:
    """A data set and its folder.

    Parameters
    ----------
    source : with the counts of the small set.
    files : path below `top` to content.
    top : folder for all.
    name : of the data set's own folder.
    """

    def __init__(self, source: Source, files: Mapping[str, bytes], top: Path, name: str) -> None:
        self.source, self.folder, self.packed = source, top / "data" / name, top / "packed"
        self.settings = SETTINGS
        for file, content in files.items():
            path = top / "data" / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)

    def text(self, name: str) -> str:
        """One of its tables."""
        return (self.folder / name).read_text(encoding="utf-8")

    def try_with(
        self, tried: Tried, files: Mapping[str, bytes | None], options: Mapping[str, Any]
    ) -> str | None:
        """The sentence with which it is refused with some files replaced or, if None, gone.

        What it is packed into must stay as it was; where it is taken, the files are whole.
        """
        paths = {self.folder / name: content for name, content in files.items()}
        whole = {path: path.read_bytes() for path in paths}
        settings = {**self.settings, **options}
        try:
            for path, content in paths.items():
                path.unlink()
                if content is not None:
                    path.write_bytes(content)
            return tried(
                lambda: pack(self.source, settings, self.folder, self.packed),
                [*(path.name for path in paths), str(self.folder), self.source.name],
                self.folder.parents[1],
            )
        finally:
            for path, content in whole.items():
                path.write_bytes(content)
            shutil.rmtree(self.packed, ignore_errors=True)

    def refused_with(
        self, tried: Tried, files: Mapping[str, bytes | None], options: Mapping[str, Any]
    ) -> str:
        """The sentence with which it must be refused."""
        sentence = self.try_with(tried, files, options)
        assert sentence is not None, "it was taken"
        return sentence


def cub(top: Path) -> DataSet:
    """48 birds of twelve classes."""
    outlines = {f"{test_cub200.NAME}/{name}": one for name, one in test_cub200.outlines().items()}
    files = {**test_cub200.small_files(), **outlines}
    return DataSet(test_cub200.SmallCub(), files, top, test_cub200.NAME)


def ham(top: Path) -> DataSet:
    """70 lesions of seven diagnoses."""
    name = test_ham10000.NAME
    files = {f"{name}/{file}": one for file, one in test_ham10000.files().items()}
    return DataSet(test_ham10000.SmallHam(), files, top, name)


def derm7pt(top: Path) -> DataSet:
    """Twelve lesions of two classes."""
    test_derm7pt.write_small(top / "data" / "derm7pt")
    return DataSet(test_derm7pt.SmallDerm7pt(), {}, top, "derm7pt")
