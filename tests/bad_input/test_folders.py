"""Folders of ImageNette's photographs with odd names, links, and classes without images."""

import shutil
from pathlib import Path

import pytest

from sparsight.data.packing import pack
from sparsight.data.sources.imagenette import Imagenette
from tests.bad_input.counting import Tried
from tests.unit.data.test_imagenette import NAME, SETTINGS, WNIDS, picture, small_files

SETS = {**SETTINGS, "partial": True, "noise": {"maximum": 0}}
FIRST = f"train/{WNIDS[0]}"
ODD = (
    *("notes.txt", f"{WNIDS[1]}_5.JPEG", f"{WNIDS[0]}_5.jpg", f"{WNIDS[0]}_5 .JPEG", "a b.JPEG"),
    *(
        f"{WNIDS[0]}_\u0665.JPEG",
        f"{WNIDS[0]}_5.JPEG\n",
        f"{WNIDS[0]}_-5.JPEG",
        "😀.JPEG",
        "e\u0301",
    ),
    *(f"{WNIDS[0]}_1234567.JPEG", "\u202egpj.JPEG", "x" * 250, "ILSVRC2012_val_5.JPEG", "a\nb"),
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An unpacked archive, in a folder whose own name is odd enough."""
    top = tmp_path / "e\u0301 \u00e9 😀"
    for name, content in small_files().items():
        path = top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return top / NAME


def refused(tried: Tried, folder: Path, named: list[str]) -> str:
    packed = folder.parent / "packed" / "nette"
    return tried.refused(lambda: pack(Imagenette(), SETS, folder, packed), named, folder.parent)


def test_odd_folders_are_read(folder: Path) -> None:
    pack(Imagenette(), SETS, folder, folder.parent / "packed")
    assert (folder.parent / "packed" / "ids.parquet").is_file()


@pytest.mark.parametrize("name", ODD)
def test_names_that_imagenet_has_not(tried: Tried, folder: Path, name: str) -> None:
    (folder / FIRST / name).write_bytes(picture(0))
    assert "no file of ImageNette's class" in refused(tried, folder, [str(folder / FIRST)])


def test_one_photograph_under_two_names(tried: Tried, folder: Path) -> None:
    again = f"{WNIDS[0]}_0003.JPEG"
    (folder / FIRST / again).write_bytes(picture(0))
    assert again in refused(tried, folder, [f"{WNIDS[0]}_3.JPEG"])


@pytest.mark.parametrize("target", ["/dev/null", "/proc/self/environ", "absent", "..", "."])
def test_links_to_what_is_no_photograph(tried: Tried, folder: Path, target: str) -> None:
    path = folder / FIRST / f"{WNIDS[0]}_9.JPEG"
    path.symlink_to(target)
    refused(tried, folder, [str(path)])


@pytest.mark.parametrize("content", [b"", b"no image", picture(0)[:200], b"%!PS-Adobe-3.0\n"])
def test_a_photograph_that_is_none(tried: Tried, folder: Path, content: bytes) -> None:
    path = folder / FIRST / f"{WNIDS[0]}_3.JPEG"
    path.write_bytes(content)
    assert "not an image that can be read" in refused(tried, folder, [str(path)])


@pytest.mark.parametrize("part", ["train", "val"])
def test_a_part_without_images(tried: Tried, folder: Path, part: str) -> None:
    shutil.rmtree(folder / part)
    assert part in refused(tried, folder, [str(folder)])
