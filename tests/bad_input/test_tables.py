"""Tables of CUB-200-2011, HAM10000 and Derm7pt with damaged cells, lines, columns and encodings."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparsight.data.base import Source
from sparsight.data.packing import pack
from tests.bad_input.counting import Tried
from tests.bad_input.damage import CELLS, damaged_table
from tests.bad_input.sources import DataSet, cub, derm7pt, ham

PROFILE = settings.get_profile("bad_input")
CUB = ("images", "image_class_labels", "train_test_split", "bounding_boxes", "classes")
CUB_TABLES = [
    *(f"{name}.txt" for name in CUB),
    *("parts/part_locs.txt", "attributes/class_attribute_labels_continuous.txt"),
    *("attributes/image_attribute_labels.txt", "../attributes.txt"),
]
HAM_TABLES = ["HAM10000_metadata.csv"]
DERM_TABLES = [
    f"meta/{name}.csv" for name in ("meta", "train_indexes", "valid_indexes", "test_indexes")
]


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, DataSet]:
    top = tmp_path_factory.mktemp("tables")
    return {make.__name__: make(top / make.__name__) for make in (cub, ham, derm7pt)}


@settings(PROFILE, max_examples=90)
@given(data=st.data(), name=st.sampled_from(CUB_TABLES), rule=st.booleans())
def test_tables_of_birds(
    tried: Tried, sets: Mapping[str, DataSet], data: st.DataObject, name: str, rule: bool
) -> None:
    whole = sets["cub"]
    content = data.draw(damaged_table(whole.text(name), " "))
    # Each option reads tables that the other does not.
    more = {"masks": "boxes", "part_radius": 0.1}
    votes = {"masks": "none", "concepts": "image_majority"}
    whole.try_with(tried, {name: content}, more if rule else votes)


@settings(PROFILE, max_examples=60)
@given(data=st.data())
def test_tables_of_lesions(tried: Tried, sets: Mapping[str, DataSet], data: st.DataObject) -> None:
    content = data.draw(damaged_table(sets["ham"].text(HAM_TABLES[0]), ","))
    sets["ham"].try_with(tried, {HAM_TABLES[0]: content}, {"masks": "none"})


@settings(PROFILE, max_examples=60)
@given(data=st.data(), name=st.sampled_from([*DERM_TABLES, DERM_TABLES[0]]))
def test_tables_of_derm7pt(
    tried: Tried, sets: Mapping[str, DataSet], data: st.DataObject, name: str
) -> None:
    content = data.draw(damaged_table(sets["derm7pt"].text(name), ","))
    sets["derm7pt"].try_with(tried, {name: content}, {})


ELSEWHERE = [cell for cell in CELLS if ".." in cell or cell.startswith("/") or "\0" in cell]


@pytest.mark.parametrize("name", ELSEWHERE)
def test_a_table_cannot_name_a_file_elsewhere(
    tried: Tried, sets: Mapping[str, DataSet], name: str
) -> None:
    """Even where the file is there."""
    for key, table, old, where in (
        ("cub", "images.txt", "001.Grey_Bird_0/Bird_0_0.jpg", "with the id 1"),
        ("derm7pt", "meta/meta.csv", "N0/Nel000.jpg", "meta.csv, line 2"),
    ):
        whole = sets[key]
        photograph = whole.folder / "images" / old
        (whole.folder.parent / "x.jpg").write_bytes(photograph.read_bytes())
        content = whole.text(table).replace(old, name, 1).encode()
        sentence = whole.refused_with(tried, {table: content}, {"masks": "none"})
        assert where in sentence


CHANGED = [
    ("cub", "images.txt", "1 001.", "99999999999999999999 001."),
    ("cub", "images.txt", "1 001.", "-1 001."),
    ("cub", "image_class_labels.txt", "1 1\n", "1 99999999999999999999\n"),
    ("cub", "train_test_split.txt", "1 1\n", "1 7\n"),
    ("cub", "bounding_boxes.txt", "4.0 4.0", "nan 4.0"),
    ("cub", "bounding_boxes.txt", "4.0 4.0", "4.0 inf"),
    ("cub", "parts/part_locs.txt", "12.0 12.0 1", "nan 12.0 1"),
    ("cub", "parts/part_locs.txt", "12.0 12.0 1", "12.0 1e999 1"),
    ("cub", "parts/part_locs.txt", "12.0 12.0 1", "12.0 12.0 2"),
    ("derm7pt", "meta/train_indexes.csv", "4", "9" * 5000),
    ("derm7pt", "meta/train_indexes.csv", "4", "1"),
    ("derm7pt", "meta/test_indexes.csv", "9", "0"),
    ("derm7pt", "meta/meta.csv", "regular", "x" * 100_000),
    ("ham", "HAM10000_metadata.csv", "ISIC_0000107", "ISIC_0000100"),
    ("ham", "HAM10000_metadata.csv", "ISIC_0000107", "x" * 100_000),
    ("ham", "HAM10000_metadata.csv", "ISIC_0000107", '"a\nb"'),
]


@pytest.mark.parametrize(("key", "table", "old", "new"), CHANGED)
def test_cells_that_no_number_or_name_has(
    tried: Tried, sets: Mapping[str, DataSet], key: str, table: str, old: str, new: str
) -> None:
    text = sets[key].text(table)
    assert old in text
    options = {"masks": "boxes", "part_radius": 0.1} if key == "cub" else {"masks": "none"}
    sentence = sets[key].refused_with(tried, {table: text.replace(old, new, 1).encode()}, options)
    assert Path(table).name in sentence or "classes.txt" in sentence


MISSING = [
    *(("cub", name, {"masks": "boxes", "part_radius": 0.1}) for name in CUB_TABLES[:7]),
    ("cub", CUB_TABLES[7], {"concepts": "image_majority"}),
    ("cub", CUB_TABLES[8], {}),
    ("cub", "segmentations/001.Grey_Bird_0/Bird_0_0.png", {}),
    ("cub", "images/001.Grey_Bird_0/Bird_0_0.jpg", {"masks": "none"}),
    ("ham", HAM_TABLES[0], {}),
    ("ham", "HAM10000_segmentations_lesion_tschandl/ISIC_0000100_segmentation.png", {}),
    ("ham", "HAM10000_images_part_1/ISIC_0000100.jpg", {"masks": "none"}),
    *(("derm7pt", name, {}) for name in DERM_TABLES),
    ("derm7pt", "images/N0/Nel004.jpg", {}),
]


@pytest.mark.parametrize(("key", "name", "options"), MISSING)
@pytest.mark.parametrize("content", [None, b"", b"<html>moved</html>"])
def test_files_that_lack_or_are_something_else(
    tried: Tried,
    sets: Mapping[str, DataSet],
    key: str,
    name: str,
    options: dict[str, Any],
    content: bytes | None,
) -> None:
    sentence = sets[key].refused_with(tried, {name: content}, options)
    assert Path(name).name in sentence or Path(name).stem in sentence or "images" in sentence


@pytest.mark.parametrize(
    ("key", "table", "of_class"),
    [
        ("cub", "train_test_split.txt", ("1 1\n", "1 0\n", "2 1\n", "2 0\n")),
        ("derm7pt", "meta/valid_indexes.csv", ("5", "")),
        ("ham", "HAM10000_metadata.csv", (",df,", ",nv,")),
    ],
)
def test_a_class_without_images(
    tried: Tried, sets: Mapping[str, DataSet], key: str, table: str, of_class: tuple[str, ...]
) -> None:
    text = sets[key].text(table)
    if key == "ham":
        text = text.replace(*of_class)
    else:
        for old, new in zip(of_class[::2], of_class[1::2], strict=True):
            text = text.replace(old, new, 1)
    sentence = sets[key].refused_with(tried, {table: text.encode()}, {"masks": "none"})
    assert "has no images in the split" in sentence


def test_whole_tables_are_packed(sets: Mapping[str, DataSet]) -> None:
    for whole in sets.values():
        source: Source = whole.source
        pack(source, whole.settings, whole.folder, whole.packed)
        assert (whole.packed / "ids.parquet").is_file()
        shutil.rmtree(whole.packed)
