"""The user's own images: folders and tables in which something is wrong."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sparsight.data import scans
from sparsight.data.packing import pack
from sparsight.data.sources.image_folder import ImageFolder
from tests.bad_input.counting import Tried

CLASSES = ("crow", "owl")


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scans, "_known", {})
    monkeypatch.delenv(scans.SCANNED_VARIABLE, raising=False)


def draw(path: Path, value: int = 9) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((6, 8, 3), value, np.uint8)).save(path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two classes in two splits, and the same as a table."""
    rows = ["file,label,split,group,odd,x0,y0,x1,y1"]
    value = 0
    for split, count in (("train", 6), ("test", 2)):
        for label in CLASSES:
            for place in range(count):
                value += 1
                name = f"{split}/{label}/{place}.png"
                draw(tmp_path / "birds" / name, value)
                rows.append(f"{name},{label},{split},g{value},{value % 2},1,1,5,4")
    (tmp_path / "birds" / "t.csv").write_text("\n".join(rows) + "\n")
    return tmp_path / "birds"


def refused(tried: Tried, folder: Path, named: str, **options: Any) -> str:
    """By packing, and before anything is written; planning refuses with the same sentence."""
    settings = {"path": str(folder), "noise": {"maximum": 0}, **options}
    packed = folder.parent / "packed"
    return tried.refused(
        lambda: pack(ImageFolder(), settings, folder, packed), [named], folder.parent
    )


def test_what_is_sound_is_taken(folder: Path) -> None:
    for options in ({}, {"table": "t.csv"}):
        settings = {"path": str(folder), **options}
        assert ImageFolder.images_of(settings) == {"train": 12, "test": 4}


def change(folder: Path, name: str, target: str) -> None:
    (folder / target).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).rename(folder / target)


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        (lambda f: shutil.rmtree(f), "'path'"),
        (lambda f: (shutil.rmtree(f), f.write_text("a file")), "'path'"),
        (lambda f: [shutil.rmtree(f / split) for split in ("train", "test")], "no pictures"),
        (lambda f: (f / "train" / "gull").mkdir(), "train/gull"),
        (lambda f: [shutil.rmtree(f / split / "owl") for split in ("train", "test")], "one class"),
        (lambda f: draw(f / "test" / "gull" / "0.png"), "gull"),
        (lambda f: change(f, "test", "tests"), "tests"),
        (lambda f: draw(f / "gull" / "0.png"), "gull"),
        (lambda f: draw(f / "Masks" / "owl" / "0.png"), "'masks: Masks'"),
        (lambda f: draw(f / "train" / "test" / "0.png"), "train/test"),
        (lambda f: draw(f / "valid" / "owl" / "0.png") or draw(f / "val" / "owl" / "0.png"), "val"),
        (lambda f: draw(f / "train" / "0.png"), "train/0.png"),
        (lambda f: draw(f / "0.png"), "0.png"),
        (lambda f: shutil.rmtree(f / "test"), "'test'"),
        (lambda f: shutil.copy(f / "train/owl/0.png", f / "test/owl/0.png"), "test/owl/0.png"),
        (lambda f: (f / "test/owl/0.png").write_bytes(b"no picture"), "test/owl/0.png"),
        (lambda f: (f / "test/owl/9.heic").write_bytes(b"heic"), "test/owl/9.heic"),
        (lambda f: (f / "test/owl/9.png").symlink_to("nowhere"), "test/owl/9.png"),
        (lambda f: (f / "test/owl/3.png").symlink_to("nowhere"), "test/owl/3.png"),
        (lambda f: Image.new("RGB", (9, 9)).save(f / "test/owl/1.png"), "'size'"),
    ],
)
def test_folders(tried: Tried, folder: Path, damage: Callable[[Path], Any], named: str) -> None:
    damage(folder)
    refused(tried, folder, named)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"split": {"rule": "patient"}}, "'rule'"),
        ({"split": {"rule": "grouped"}}, "'group'"),
        ({"split": {"test": 0.5}}, "'split: test'"),
        ({"split": {"rule": "stratified", "test": 0}}, "'split: test'"),
        ({"split": {"rule": "stratified", "test": 0.99}}, "'split: test: 0.99'"),
        ({"split": {"rule": "random", "test": 8, "validation": 8}}, "'split: validation: 8'"),
        ({"split": {"validation": 12}}, "'split: validation: 12'"),
        ({"split": {"folds": 5}}, "'folds'"),
        ({"split": "given"}, "'split'"),
        ({"size": 0}, "'size'"),
        ({"size": "large"}, "'size'"),
        ({"channels": 4}, "'channels'"),
        ({"resize": "crop"}, "'resize'"),
        ({"table": "none.csv"}, "none.csv"),
        ({"table": 5}, "'table'"),
        ({"masks": "none"}, "'masks'"),
        ({"masks": "train", "table": "t.csv"}, "'masks'"),
        ({"table": "t.csv", "concepts": ["even"]}, "'concepts'"),
        ({"classes": ["crow"]}, "'classes'"),
        ({"path": ""}, "'path'"),
        ({"skip_unreadable": "yes"}, "'skip_unreadable'"),
    ],
)
def test_options(tried: Tried, folder: Path, options: dict[str, Any], named: str) -> None:
    refused(tried, folder, named, **options)


LAST = "test/owl/1.png,owl,test,g16,0,1,1,5,4"


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("file,label", "files,label", "'file'"),
        ("file,label", "file,labels", "'label'"),
        (LAST, f"{LAST}\n{LAST}", "line 18"),
        (LAST, f"{LAST}\n./test//owl/1.png,owl,test,g1,0,1,1,5,4", "line 18"),
        ("1.png,owl,test", "1.png,0.5,test", "line 17"),
        ("1.png,owl,test", "1.png,1e3,test", "line 17"),
        ("1.png,owl,test", "1.png,,test", "line 17"),
        ("1.png,owl,test", "1.png,gull,test", "gull"),
        ("1.png,owl,test", "1.png,owl,holdout", "line 17"),
        ("1.png,owl,test", "1.png,owl,", "line 17"),
        ("test,g16", "test,", "line 17"),
        ("g16,0,", "g16,2,", "'odd'"),
        ("g16,0,", "g16,0.5,", "'odd'"),
        ("g16,0,1,1,5,4", "g16,0,1,1,50,4", "test/owl/1.png"),
        ("g16,0,1,1,5,4", "g16,0,-9,1,5,4", "test/owl/1.png"),
        ("g16,0,1,1,5,4", "g16,0,5,1,1,4", "line 17"),
        ("g16,0,1,1,5,4", "g16,0,nan,1,5,4", "line 17"),
        ("g16,0,1,1,5,4", "g16,0,left,1,5,4", "line 17"),
        ("x0,y0,x1,y1", "x0,y0,x1,y9", "x0, y0, x1"),
        ("x0,y0,x1,y1", "x0,y0,x1,mask", "x0, y0, x1"),
        ("test/owl/1.png,", "test/owl/absent.png,", "test/owl/absent.png"),
        ("test/owl/1.png,", "../birds/test/owl/1.png,", "line 17"),
        ("test/owl/1.png,", "/etc/passwd,", "line 17"),
        ("test/owl/1.png,", ",", "line 17"),
        ("test/owl/1.png,", "test/owl/1\0.png,", "line 17"),
        ("test/owl/1.png,", f"{'x' * 300}.png,", "xxx.png"),
        ("test/owl/1.png,", "test/owl,", "test/owl"),
    ],
)
def test_tables(tried: Tried, folder: Path, old: str, new: str, named: str) -> None:
    path = folder / "t.csv"
    text = path.read_text()
    assert old in text
    path.write_text(new.join(text.rsplit(old, 1)))
    refused(tried, folder, named, table="t.csv")


def test_tables_without_lines_or_with_one_split(tried: Tried, folder: Path) -> None:
    path = folder / "t.csv"
    header, *rows = path.read_text().splitlines()
    path.write_text(f"{header}\n")
    refused(tried, folder, "t.csv", table="t.csv")
    path.write_text("\n".join([header, *(row for row in rows if ",train," in row)]))
    refused(tried, folder, "'test'", table="t.csv")
    path.write_bytes(b"\xff\xfe\x00")
    refused(tried, folder, "t.csv", table="t.csv")


@pytest.mark.parametrize(
    ("mask", "named"),
    [
        (np.zeros((8, 6), np.uint8), "masks/train/owl/3.png"),
        (np.full((6, 8), 3, np.uint8), "masks/train/owl/3.png"),
        (None, "train/owl/3.png"),
        (b"no mask", "masks/train/owl/3.png"),
    ],
)
def test_masks(tried: Tried, folder: Path, mask: Any, named: str) -> None:
    for path in folder.rglob("*.png"):
        draw(folder.parent / "masks" / path.relative_to(folder), 255)
    where = folder.parent / "masks"
    settings = {"path": str(folder), "masks": str(where)}
    assert ImageFolder.masks_of(settings)
    path = where / "train" / "owl" / "3.png"
    path.unlink()
    if isinstance(mask, bytes):
        path.write_bytes(mask)
    elif mask is not None:
        Image.fromarray(mask).save(path)
    refused(tried, folder, named, masks=str(where))
