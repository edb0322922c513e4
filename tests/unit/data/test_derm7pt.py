"""Derm7pt on generated images in the original layout; its coding on the real table."""

import csv
import os
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from PIL import Image

from sparsight.data.location import find_folder
from sparsight.data.packed import PackedSplit
from sparsight.data.packing import fetch_dataset, pack
from sparsight.data.registry import SOURCES
from sparsight.data.sources.derm7pt import (
    CODING,
    Derm7pt,
    is_malignant,
    published_coding,
    read_meta,
)
from sparsight.io.errors import InputError

SETTINGS: dict[str, Any] = {"size": 16, "noise": {"maximum": 0}}
COLUMNS = (
    *("case_num", "diagnosis", "pigment_network", "streaks", "regression_structures"),
    *("dots_and_globules", "blue_whitish_veil", "clinic", "derm"),
)
CASES = (
    ("clark nevus", "typical", "absent", "absent", "regular", "absent"),
    ("melanoma (in situ)", "atypical", "irregular", "blue areas", "irregular", "present"),
    ("basal cell carcinoma", "absent", "regular", "white areas", "absent", "absent"),
    ("melanosis", "absent", "absent", "combinations", "irregular", "present"),
)
# BWV, RegularDG, IrregularDG, Regression, RegularStreaks, IrregularStreaks, Typical, Atypical
CODED = (
    (0, 1, -1, 0, 0, 0, 1, -1),
    (1, -1, 1, 1, -1, 1, -1, 1),
    (0, 0, 0, 1, 1, -1, 0, 0),
    (1, -1, 1, 1, 0, 0, 0, 0),
)
INDEXES = {"train": (0, 1, 2, 4, 7), "valid": (3, 5), "test": (6, 9, 8, 10, 11)}


class SmallDerm7pt(Derm7pt):
    """Twelve photographs: three times the four cases."""

    count: ClassVar[int] = 12


def write_table(path: Path, columns: tuple[str, ...], rows: list[tuple[object, ...]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(rows)


def write_small(place: Path) -> None:
    """Write the tables and the twelve photographs into a folder."""
    rows = []
    for index in range(12):
        name = f"N{index % 2}/Nel{index:03d}.jpg"
        rows.append((index + 1, *CASES[index % 4], f"N{index % 2}/NEL{index:03d}.JPG", name))
        path = place / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((20, 30, 3), 20 * index, np.uint8)).save(path)
    write_table(place / "meta" / "meta.csv", COLUMNS, rows)
    for word, positions in INDEXES.items():
        write_table(place / "meta" / f"{word}_indexes.csv", ("indexes",), [(n,) for n in positions])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "data" / "derm7pt"
    write_small(place)
    return place


def test_official_splits_labels_and_concepts(folder: Path, tmp_path: Path) -> None:
    source = SmallDerm7pt()
    source.fetch(SETTINGS, folder)
    raw = source.read(SETTINGS, folder)
    source.check(SETTINGS, raw)
    for split, word in (("train", "train"), ("validation", "valid"), ("test", "test")):
        part, positions = raw[split], INDEXES[word]
        assert part.image_ids.tolist() == list(positions)
        assert part.labels.tolist() == [int(n % 4 in (1, 2)) for n in positions]
        assert part.names[0] == f"N{positions[0] % 2}/Nel{positions[0]:03d}.jpg"
        assert np.abs(part.images.mean(axis=(1, 2, 3)) - 20 * np.array(positions)).max() < 2
        assert part.concepts is not None
        expected = [[code == 1 for code in CODED[n % 4]] for n in positions]
        assert part.concepts.tolist() == expected
        # Where the other kind is there, an image is no example, neither with nor without.
        known = [[code != -1 for code in CODED[n % 4]] for n in positions]
        assert part.concepts_known is not None
        assert part.concepts_known.tolist() == known
    pack(source, SETTINGS, folder, tmp_path / "packed")
    with PackedSplit.open(tmp_path / "packed" / "test.safetensors") as split:
        assert split.classes == ["benign", "malignant"]
        assert split.concept_names == list(CODING) == list(Derm7pt.concept_names)
        # The coding of the study is in the file.
        rows = torch.tensor([4, 0, 2])
        coded = torch.where(split.concepts_known(rows), split.concepts(rows).int(), -1)
        assert coded.tolist() == [list(CODED[INDEXES["test"][row] % 4]) for row in rows.tolist()]
        assert not split.has_masks


def test_published_coding_by_hand(folder: Path) -> None:
    rows = read_meta(folder / "meta" / "meta.csv")
    assert published_coding(rows).tolist() == [list(CODED[n % 4]) for n in range(12)]
    assert published_coding(rows).dtype == np.int8
    assert published_coding(rows[:0]).shape == (0, 8)


def test_diagnoses() -> None:
    assert is_malignant("melanoma metastasis")
    assert is_malignant("basal cell carcinoma")
    for benign in ("melanosis", "clark nevus", "lentigo", "seborrheic keratosis"):
        assert not is_malignant(benign)


def test_it_is_never_downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SPARSIGHT_DATA", raising=False)
    settings = {**SETTINGS, "source": "derm7pt", "data_folder": str(tmp_path / "data")}
    with pytest.raises(InputError, match=r"ask for release_v0 at https://derm\.cs\.sfu\.ca") as why:
        fetch_dataset(settings, tmp_path / "manifest.json")
    assert str(tmp_path / "data" / "derm7pt") in str(why.value)
    assert not (tmp_path / "manifest.json").exists()


@pytest.mark.parametrize(
    ("file", "old", "new", "reason"),
    [
        ("meta.csv", "streaks", "streak", "has no column 'streaks'"),
        ("meta.csv", "atypical", "odd", "line 3: pigment_network is 'odd', not one of absent, typ"),
        ("meta.csv", "N1/Nel003.jpg", "N1/Nel001.jpg", r"names the image N1/Nel001\.jpg twice"),
        ("meta.csv", "12,melanosis", "\n12,melanosis", ""),
        ("train_indexes.csv", "indexes", "index", "has no column 'indexes'"),
        ("test_indexes.csv", "10", "12", r"does not list rows 0 to 11 of meta\.csv"),
        ("valid_indexes.csv", "3", "-3", "does not list rows 0 to 11"),
    ],
)
def test_broken_tables(folder: Path, file: str, old: str, new: str, reason: str) -> None:
    path = folder / "meta" / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    if not reason:
        # An empty line is no row.
        SmallDerm7pt().read(SETTINGS, folder)
        return
    with pytest.raises(InputError, match=reason) as caught:
        SmallDerm7pt().read(SETTINGS, folder)
    assert str(path) in str(caught.value)


def test_missing_rows_files_and_images(folder: Path) -> None:
    with pytest.raises(InputError, match=r"meta\.csv has 12 of 1011 rows"):
        Derm7pt().fetch(SETTINGS, folder)
    (folder / "images" / "N0" / "Nel004.jpg").unlink()
    with pytest.raises(InputError, match=r"Nel004\.jpg does not exist; put all images"):
        SmallDerm7pt().read(SETTINGS, folder)
    (folder / "meta" / "train_indexes.csv").unlink()
    with pytest.raises(InputError, match=r"train_indexes\.csv cannot be read"):
        SmallDerm7pt().read(SETTINGS, folder)


def test_a_class_without_images_and_a_row_in_two_splits(folder: Path) -> None:
    write_table(folder / "meta" / "valid_indexes.csv", ("indexes",), [(3,)])
    with pytest.raises(InputError, match="the class 'malignant' has no images in the split 'valid"):
        SmallDerm7pt().read(SETTINGS, folder)
    for rows in ([(3,), (1,)], [(3,), (5,), (5,)]):
        write_table(folder / "meta" / "valid_indexes.csv", ("indexes",), rows)
        twice = rows[-1][0]
        with pytest.raises(InputError, match=rf"valid_indexes\.csv lists row {twice}, which is"):
            SmallDerm7pt().read(SETTINGS, folder)


def test_facts() -> None:
    facts = SOURCES.facts("derm7pt")
    assert facts["concept_names"] == tuple(CODING)
    assert not facts["has_masks"]


@pytest.mark.realdata
def test_coding_of_the_real_table(tmp_path: Path) -> None:
    names = ("derm7pt", "derm7pt_meta_only")
    found = [find_folder(name, tmp_path / "none", os.environ) for name in names]
    folder = next((place for place in found if place is not None), None)
    if folder is None:
        pytest.skip("no derm7pt folder below $SPARSIGHT_DATA")
    rows = read_meta(folder / "meta" / "meta.csv")
    assert len(rows) == Derm7pt.count
    coded = published_coding(rows)
    positive = dict(zip(CODING, (coded == 1).sum(axis=0).tolist(), strict=True))
    assert positive == {
        "BWV": 195,
        "RegularDG": 334,
        "IrregularDG": 448,
        "RegressionStructures": 253,
        "RegularStreaks": 107,
        "IrregularStreaks": 251,
        "TypicalPigmentNetwork": 381,
        "AtypicalPigmentNetwork": 230,
    }
    negative = dict(zip(CODING, (coded == 0).sum(axis=0).tolist(), strict=True))
    # Absent altogether: the same number for both kinds of a structure.
    assert negative["RegularDG"] == negative["IrregularDG"] == 229
    assert negative["RegularStreaks"] == negative["IrregularStreaks"] == 653
    assert negative["TypicalPigmentNetwork"] == negative["AtypicalPigmentNetwork"] == 400
    assert rows["diagnosis"].map(is_malignant).sum() == 294
