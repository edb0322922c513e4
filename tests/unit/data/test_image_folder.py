"""The user's own images: folders and tables, splits, what is refused, and what is noticed."""

import json
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sparsight.data import scans
from sparsight.data.location import find_folder
from sparsight.data.packed import PackedSplit
from sparsight.data.packing import fetch_dataset, pack, prepare_dataset
from sparsight.data.pictures import Frame
from sparsight.data.scans import SCANNED_VARIABLE, scans_text
from sparsight.data.sources import image_folder
from sparsight.data.sources.cub200 import Cub200
from sparsight.data.sources.ham10000 import Ham10000
from sparsight.data.sources.image_folder import LEAK, UNREADABLE, ImageFolder, find_pictures
from sparsight.io.arrays import read_metadata
from sparsight.io.errors import InputError

QUIET = {"noise": {"maximum": 0}}
NAMES = [f"{place:02d}.png" for place in range(10)]


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a process of its own."""
    monkeypatch.setattr(scans, "_known", {})
    monkeypatch.delenv(SCANNED_VARIABLE, raising=False)


def draw(path: Path, value: int, size: tuple[int, int] = (6, 4), mode: str = "RGB") -> Path:
    """One colour, by which it is known again."""
    path.parent.mkdir(parents=True, exist_ok=True)
    colour = value if mode == "L" else (value, 0, 0)
    Image.new(mode, size, colour).save(path)
    return path


def fill(top: Path, folders: dict[str, int]) -> None:
    """So many pictures in each folder, of the values 1, 2, …"""
    value = 0
    for folder, count in folders.items():
        for name in NAMES[:count]:
            value += 1
            draw(top / folder / name, value)


@pytest.fixture
def birds(tmp_path: Path) -> Path:
    """Ten crows and five owls, unsplit."""
    fill(tmp_path / "birds", {"crow": 10, "owl": 5})
    return tmp_path / "birds"


def options(path: Path, **more: Any) -> dict[str, Any]:
    return {"path": str(path), **more}


def write(path: Path, header: str, *rows: str) -> None:
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")


def splits_of(settings: dict[str, Any]) -> dict[str, Any]:
    source = ImageFolder()
    raw = source.read(settings, Path(settings["path"]))
    source.check(settings, raw, source.describe(settings, Path()))
    return raw


def test_folders_of_classes(birds: Path) -> None:
    raw = splits_of(options(birds))
    # A fifth of 15, and no images to choose on.
    assert {split: len(part) for split, part in raw.items()} == {"train": 12, "test": 3}
    assert Counter(raw["test"].labels.tolist()) == {0: 2, 1: 1}
    for part in raw.values():
        # Kept as they are, not square; ids are places in the sorted names.
        assert part.images.shape[1:] == (3, 4, 6)
        assert part.images[:, 0, 0, 0].tolist() == (part.image_ids + 1).tolist()
        assert [name.split("/")[0] for name in part.names] == [
            ["crow", "owl"][label] for label in part.labels
        ]


def test_facts_before_anything_is_packed(birds: Path) -> None:
    for settings, shape in (({}, (3, 4, 6)), ({"size": 5, "channels": 1}, (1, 5, 5))):
        mine = options(birds, **settings)
        assert ImageFolder.shape(mine) == shape
        assert ImageFolder.classes_of(mine) == ["crow", "owl"]
        assert ImageFolder.tested_of(mine) == 3
        assert ImageFolder.split_names(mine) == ("train", "test")
        assert not ImageFolder.masks_of(mine)
        assert not ImageFolder.has_concepts(mine)
    assert splits_of(mine)["train"].images.shape == (12, 1, 5, 5)


@pytest.mark.parametrize("names", [("train", "val", "test"), ("Training", "valid", "TEST")])
def test_folders_of_splits(tmp_path: Path, names: tuple[str, str, str]) -> None:
    train, validation, test = names
    fill(
        tmp_path,
        {f"{train}/a": 3, f"{train}/b": 2, f"{validation}/b": 1, f"{test}/a": 1, f"{test}/b/c": 1},
    )
    raw = splits_of(options(tmp_path))
    assert {split: part.labels.tolist() for split, part in raw.items()} == {
        "train": [0, 0, 0, 1, 1],
        "validation": [1],
        "test": [0, 1],
    }
    assert raw["test"].names == [f"{test}/a/00.png", f"{test}/b/c/00.png"]
    with pytest.raises(InputError, match="'split: validation' has no meaning"):
        ImageFolder.shape(options(tmp_path, split={"validation": 0.1}))
    # The folders are not the only way.
    again = ImageFolder.images_of(options(tmp_path, split={"rule": "stratified", "test": 2}))
    assert again == {"train": 6, "test": 2}


def test_validation_images_from_the_training_images(tmp_path: Path) -> None:
    fill(tmp_path, {"train/a": 6, "train/b": 6, "test/a": 2, "test/b": 2})
    settings = options(tmp_path, split={"validation": 1 / 3})
    assert ImageFolder.images_of(settings) == {"train": 8, "validation": 4, "test": 4}
    raw = splits_of(settings)
    assert Counter(raw["validation"].labels.tolist()) == {0: 2, 1: 2}


def test_pictures_as_people_have_them(tmp_path: Path) -> None:
    """Endings in capitals, spaces, umlauts, hidden files, and what file managers leave."""
    top = tmp_path / "e\u0301 \u00e9 😀"
    kept = ["a/A b.PNG", "a/Ünï.Jpeg", "b/z.tiff", "b/sub/x.webp", "b/\u4e2d.bmp"]
    for value, name in enumerate(kept):
        draw(top / name, 10 * value)
    for name in ("a/.hidden.png", ".cache/x.png", "__MACOSX/a/._A b.png"):
        draw(top / name, 0)
    for name in ("a/Thumbs.db", "a/.DS_Store", "README.md", "b/notes.txt"):
        (top / name).write_text("no picture")
    assert find_pictures(top) == sorted(kept, key=str.encode)
    assert ImageFolder.images_of(options(top, split={"test": 1})) == {"train": 4, "test": 1}
    # A link that leads around in circles.
    (top / "b" / "again").symlink_to(top)
    assert find_pictures(top) == sorted(kept, key=str.encode)


def test_channels_and_sizes(birds: Path) -> None:
    for path in birds.rglob("*.png"):
        draw(path, 7, mode="L")
    assert ImageFolder.shape(options(birds)) == (1, 4, 6)
    assert ImageFolder.shape(options(birds, channels=3)) == (3, 4, 6)
    draw(birds / "owl" / "00.png", 7, size=(9, 9))
    with pytest.raises(InputError, match=r"differ in size .*6×4.*9×9.*give 'size'"):
        ImageFolder().fetch(options(birds), Path())
    assert ImageFolder.shape(options(birds, size=8)) == (3, 8, 8)
    # The square is the middle, or everything squashed.
    raw = splits_of(options(birds, size=2, resize="squash"))
    assert raw["train"].images.shape == (12, 3, 2, 2)


def test_names_and_order_of_classes(tmp_path: Path) -> None:
    fill(tmp_path, {"10": 2, "9": 2, "a": 2})
    # As torchvision sorts folders.
    assert ImageFolder.classes_of(options(tmp_path)) == ["10", "9", "a"]
    chosen = options(tmp_path, classes=["a", 9, 10])
    assert ImageFolder.classes_of(chosen) == ["a", "9", "10"]
    for wrong in (["a", "9"], ["a", "9", "10", "10"], ["a", "9", "11"], "a"):
        with pytest.raises(InputError, match="'classes' must"):
            ImageFolder.classes_of(options(tmp_path, classes=wrong))


def test_a_table(tmp_path: Path) -> None:
    rows = []
    for value in range(12):
        draw(tmp_path / "deep" / f"p{value:02d}.png", value)
        concepts = f"{value % 2},{'' if value == 3 else int(value > 6)}"
        rows.append(
            f"deep/p{value:02d}.png,{10 if value < 6 else 9},g{value // 2},{concepts},"
            f"{0 if value else 1.5},1,4,3"
        )
    write(tmp_path / "images.csv", "file,label,group,odd,large,x0,y0,x1,y1", *reversed(rows))
    settings = options(tmp_path, table="images.csv", split={"test": 4, "validation": 4})
    raw = splits_of(settings)
    # Whole numbers are in their own order: 9 before 10.
    assert ImageFolder.classes_of(settings) == ["9", "10"]
    assert ImageFolder.concepts_of(settings) == ("odd", "large")
    assert {split: len(part) for split, part in raw.items()} == {
        "train": 4,
        "validation": 4,
        "test": 4,
    }
    groups = {split: {n // 2 for n in part.image_ids.tolist()} for split, part in raw.items()}
    assert sum(map(len, groups.values())) == 6, "a group is in two splits"
    for part in raw.values():
        ids = part.image_ids
        assert part.labels.tolist() == [int(n < 6) for n in ids]
        assert part.concepts is not None
        assert part.concepts_known is not None
        assert part.concepts[:, 0].tolist() == [n % 2 == 1 for n in ids]
        assert part.concepts[:, 1].tolist() == [n > 6 for n in ids]
        assert part.concepts_known.tolist() == [[True, n != 3] for n in ids]
        box = np.zeros((4, 6), np.uint8)
        box[1:3, :4] = 255
        half = box.copy()
        half[:, 0], half[1:3, 1] = 0, 128
        for image_id, mask in zip(ids, part.masks, strict=True):
            assert (mask == (half if image_id == 0 else box)).all()
    some = {**settings, "concepts": ["large"]}
    assert ImageFolder.concepts_of(some) == ("large",)
    assert ImageFolder.concepts_of({**some, "concepts": []}) == ()


def test_concepts_of_any_name(birds: Path) -> None:
    """The listing of a source has columns of its own, of these names."""
    columns = ["name", "path", "class", "image_id", "0", "name.1"]
    rows = [f"{name},{name[0]}{',1,0,1,,0,1'}" for name in find_pictures(birds)]
    write(birds / "t.csv", f"file,label,{','.join(columns)}", *rows)
    settings = options(birds, table="t.csv")
    assert ImageFolder.concepts_of(settings) == tuple(columns)
    part = splits_of(settings)["train"]
    assert (part.concepts == [True, False, True, False, False, True]).all()
    assert (part.concepts_known == [True, True, True, False, True, True]).all()
    assert part.labels.tolist() == [int(name.startswith("owl")) for name in part.names]


def test_the_box_of_a_resized_picture(tmp_path: Path) -> None:
    for value in range(4):
        draw(tmp_path / f"{value}.png", value, size=(40, 20))
    rows = [f"{value}.png,{value % 2},10,0,20,10" for value in range(4)]
    write(tmp_path / "t.csv", "file,label,x0,y0,x1,y1", *rows)
    raw = splits_of(options(tmp_path, table="t.csv", size=10, split={"test": 2}))
    expected = Frame.of(40, 20, 10, "aspect").box(10, 0, 10, 10)
    assert expected.sum() == 25 * 255
    assert (raw["train"].masks == expected).all()


def test_masks_in_folders_and_in_a_table(birds: Path, tmp_path: Path) -> None:
    shape = np.zeros((8, 12), np.uint8)
    shape[:, :6] = 1
    for name in find_pictures(birds):
        # Twice as large, of 0 and 1, under another ending.
        path = (birds / "masks" / name).with_suffix(".gif")
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(shape).save(path)
    settings = options(birds, masks="masks")
    raw = splits_of(settings)
    assert ImageFolder.classes_of(settings) == ["crow", "owl"]
    assert raw["train"].masks is not None
    assert (raw["train"].masks[:, :, :2] == 255).all()
    assert (raw["train"].masks[:, :, 4:] == 0).all()
    names = [name for name in find_pictures(birds) if not name.startswith("masks")]
    rows = [f"{name},{name.split('/')[0]},masks/{name[:-4]}.gif" for name in names]
    write(tmp_path / "t.csv", "file,label,mask", *rows)
    again = splits_of(options(birds, table=str(tmp_path / "t.csv")))
    assert (again["train"].masks == raw["train"].masks).all()
    (birds / "masks" / "owl" / "03.gif").unlink()
    with pytest.raises(InputError, match=r"no mask of 1 pictures \(owl/03\.png\)"):
        ImageFolder().fetch(settings, Path())


def test_given_splits_that_leak_say_so(birds: Path, tmp_path: Path) -> None:
    names = find_pictures(birds)
    rows = [
        f"{name},{name[0]},{'test' if place % 5 == 0 else 'train'},g{place // 3}"
        for place, name in enumerate(names)
    ]
    write(birds / "t.csv", "file,label,split,group", *rows)
    pack(ImageFolder(), options(birds, table="t.csv", **QUIET), birds, tmp_path / "packed")
    assert read_metadata(tmp_path / "packed" / "test.safetensors")[LEAK] == "1.0000"
    grouped = options(birds, table="t.csv", split={"rule": "grouped", "test": 0.4})
    assert ImageFolder.found(grouped)["notes"][LEAK] == "0.0000"


@pytest.mark.parametrize(
    ("rule", "expected"), [("stratified", {0: 2, 1: 1}), ("random", {0: 1, 1: 2})]
)
def test_rules(birds: Path, rule: str, expected: dict[int, int]) -> None:
    """Of a fifth of 10 and 5 images; at random, one of 100 seeds has another two and one."""
    found = Counter()
    for seed in range(20 if rule == "random" else 1):
        settings = options(birds, split={"rule": rule, "seed": seed})
        found[str(Counter(splits_of(settings)["test"].labels.tolist()))] += 1
    assert str(Counter(expected)) in found
    assert (len(found) > 1) == (rule == "random")


# ----------------------------------------------------------------------------------- unreadable


def damage(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:40])


def test_all_that_is_unreadable_is_listed(birds: Path, tmp_path: Path) -> None:
    for name in NAMES:
        damage(birds / "crow" / name)
    damage(birds / "owl" / "04.png")
    (birds / "owl" / "phone.HEIC").write_bytes(b"heic")
    settings = options(birds, scans=str(tmp_path / "scans"))
    with pytest.raises(InputError, match="12 of 16 pictures cannot be read: crow") as why:
        ImageFolder.shape(settings)
    message = str(why.value)
    assert "crow/09.png and 2 more" in message
    [listed] = (tmp_path / "scans").iterdir()
    assert str(listed) in message
    names = [line.split(":")[0] for line in listed.read_text().splitlines()]
    assert len(names) == 12
    assert names[-1] == "owl/phone.HEIC"
    with pytest.raises(InputError, match="has one class only, owl"):
        ImageFolder.shape({**settings, "skip_unreadable": True})


def test_going_on_without_what_is_unreadable(birds: Path, tmp_path: Path) -> None:
    before = splits_of(options(birds))
    damage(birds / "crow" / "03.png")
    settings = options(birds, skip_unreadable=True, **QUIET)
    pack(ImageFolder(), settings, birds, tmp_path / "packed")
    metadata = read_metadata(tmp_path / "packed" / "train.safetensors")
    assert json.loads(metadata[UNREADABLE]) == ["crow/03.png"]
    ids = set()
    for split in ("train", "test"):
        with PackedSplit.open(tmp_path / "packed" / f"{split}.safetensors") as part:
            ids |= set(part.image_ids().tolist())
    # Ids are those that all pictures had.
    assert ids == {n for part in before.values() for n in part.image_ids.tolist()} - {3}


@pytest.mark.parametrize("kept", [True, False])
def test_damage_that_only_decoding_shows(
    birds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept: bool
) -> None:
    """As in the middle of a JPEG file: the look is blind for it."""
    whole = image_folder.look_at(birds / "crow" / "03.png")
    damage(birds / "crow" / "03.png")
    monkeypatch.setattr(image_folder, "look_at", lambda path: whole)
    with pytest.raises(InputError, match=r"1 of \d+ pictures cannot be decoded .*crow/03\.png"):
        splits_of(options(birds))
    where = str(tmp_path / "scans") if kept else ""
    settings = options(birds, skip_unreadable=True, scans=where, **QUIET)
    assert ImageFolder.images_of(settings) == {"train": 12, "test": 3}
    pack(ImageFolder(), settings, birds, tmp_path / "packed")
    metadata = read_metadata(tmp_path / "packed" / "test.safetensors")
    assert json.loads(metadata[UNREADABLE]) == ["crow/03.png"]
    assert sum(ImageFolder.images_of(settings).values()) == 14


# -------------------------------------------------------------------------------- what is noticed


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the pictures that are looked at."""
    found: list[str] = []
    real = image_folder.look_at

    def look(path: Path) -> Any:
        found.append(path.name)
        return real(path)

    monkeypatch.setattr(image_folder, "look_at", look)
    return found


def forget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scans, "_known", {})


def test_folders_are_looked_at_once(
    birds: Path, tmp_path: Path, looks: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = options(birds, scans=str(tmp_path / "scans"))
    first = ImageFolder.found(settings)
    for ask in (ImageFolder.shape, ImageFolder.classes_of, ImageFolder.tested_of):
        ask(settings)
    assert len(looks) == 15
    # The next plan compares names, sizes and times, but opens no picture.
    forget(monkeypatch)
    assert ImageFolder.found(settings) == first
    assert len(looks) == 15
    # A job of this plan does not even walk through the folder.
    monkeypatch.setenv(SCANNED_VARIABLE, scans_text())
    forget(monkeypatch)
    monkeypatch.setattr(image_folder, "find_pictures", lambda folder: pytest.fail("it walked"))
    assert ImageFolder.found(settings) == first


@pytest.mark.parametrize(
    "change",
    [
        lambda birds: draw(birds / "owl" / "05.png", 99),
        lambda birds: (birds / "owl" / "04.png").unlink(),
        lambda birds: (birds / "owl" / "04.png").rename(birds / "owl" / "5.png"),
        lambda birds: os.utime(birds / "owl" / "04.png", (5, 5)),
    ],
)
def test_changes_are_noticed(
    birds: Path, tmp_path: Path, change: Callable[[Path], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = options(birds, scans=str(tmp_path / "scans"))
    before = ImageFolder.found(settings)
    monkeypatch.setenv(SCANNED_VARIABLE, scans_text())
    change(birds)
    # Within a run, what the plan saw holds; packing anything else is refused.
    assert ImageFolder.found(settings) == before
    with pytest.raises(InputError, match="have changed since this run was planned"):
        splits_of(settings)
    monkeypatch.delenv(SCANNED_VARIABLE)
    forget(monkeypatch)
    assert ImageFolder.found(settings)["state"] != before["state"]
    splits_of(settings)


def test_what_file_managers_write_changes_nothing(birds: Path) -> None:
    before = ImageFolder.state(options(birds))
    (birds / "owl" / ".DS_Store").write_bytes(b"1")
    (birds / "owl" / "Thumbs.db").write_bytes(b"1")
    (birds / "notes.txt").write_text("more")
    assert ImageFolder.state(options(birds)) == before


def test_a_table_that_changes_is_noticed(birds: Path) -> None:
    rows = [f"{name},{name[0]}" for name in find_pictures(birds)]
    settings = options(birds, table="t.csv")
    write(birds / "t.csv", "file,label", *rows)
    before = ImageFolder.state(settings)
    os.utime(birds / "t.csv", (5, 5))
    assert ImageFolder.state(settings) == before
    write(birds / "t.csv", "file,label", f"{rows[0][:-1]}o", *rows[1:])
    assert ImageFolder.state(settings) != before


def test_a_folder_that_is_gone_leaves_what_is_known(
    birds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = options(birds, scans=str(tmp_path / "scans"))
    known = ImageFolder.found(settings)
    birds.rename(tmp_path / "elsewhere")
    forget(monkeypatch)
    assert ImageFolder.found(settings) == known
    with pytest.raises(InputError, match="does not exist"):
        ImageFolder().fetch(settings, Path())


def test_the_manifest_keeps_what_was_found(birds: Path, tmp_path: Path) -> None:
    settings = options(birds, source="image_folder", data_folder=str(tmp_path / "data"), **QUIET)
    manifest, ids = tmp_path / "data" / "fetched" / "mine.json", tmp_path / "mine" / "ids.parquet"
    fetch_dataset(settings, manifest)
    content = json.loads(manifest.read_text())
    assert content["folder"] is None
    assert content["found"]["image_shape"] == [3, 4, 6]
    assert content["found"]["images"] == {"train": 12, "test": 3}
    prepare_dataset(settings, manifest, ids, "mine")
    with PackedSplit.open(ids.with_name("test.safetensors")) as part:
        assert part.classes == ["crow", "owl"]
        assert part.image_shape == (3, 4, 6)
    with PackedSplit.open(ids.with_name("validation.safetensors")) as part:
        assert len(part) == 0


def test_data_hash_is_the_same_wherever_the_folder_lies(birds: Path, tmp_path: Path) -> None:
    first = pack(ImageFolder(), options(birds, **QUIET), birds, tmp_path / "one")
    moved = birds.rename(tmp_path / "zoo")
    for path in moved.rglob("*.png"):
        os.utime(path, (5, 5))
    assert pack(ImageFolder(), options(moved, **QUIET), moved, tmp_path / "two") == first


# ------------------------------------------------------------------------------------- real images


@pytest.mark.realdata
def test_real_birds_as_folders_and_as_a_table(tmp_path: Path) -> None:
    real = find_folder("CUB_200_2011", tmp_path / "none", os.environ)
    if real is None:
        pytest.skip("no CUB_200_2011 folder below $SPARSIGHT_DATA")
    wanted = {"size": 32, "masks": "boxes", "partial": True, "mirrors": []}
    raw = Cub200().read(wanted, real)
    top, rows = tmp_path / "birds", []
    boxes = dict(line.split(maxsplit=1) for line in (real / "bounding_boxes.txt").open())
    concepts = Cub200().describe(wanted, real).concept_names
    for split, part in raw.items():
        for name, image_id, present in zip(part.names, part.image_ids, part.concepts, strict=True):
            link = top / split / name
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(real / "images" / name)
            x, y, width, height = map(float, boxes[str(image_id)].split())
            row = [f"{split}/{name}", name.split("/")[0], split, x, y, x + width, y + height]
            rows.append(",".join(map(str, [*row, *present.astype(int)])))
    header = ",".join(["file", "label", "split", "x0", "y0", "x1", "y1", *concepts])
    write(tmp_path / "birds.csv", header, *rows)
    by_folder = splits_of(options(top, size=32))
    by_table = splits_of(options(top, size=32, table=str(tmp_path / "birds.csv")))
    for split, part in raw.items():
        order = np.argsort(part.names)
        for found in (by_folder[split], by_table[split]):
            assert found.names == [f"{split}/{part.names[place]}" for place in order]
            assert (found.images == part.images[order]).all()
            assert (found.labels == part.labels[order]).all()
        assert (by_table[split].masks == part.masks[order]).all()
        assert (by_table[split].concepts == part.concepts[order]).all()


@pytest.mark.realdata
def test_real_lesions_in_one_split_each(tmp_path: Path) -> None:
    real = find_folder("HAM10000", tmp_path / "none", os.environ)
    if real is None:
        pytest.skip("no HAM10000 folder below $SPARSIGHT_DATA")
    split = {"test": 0.1, "validation": 0.1, "seed": 3}
    wanted = {"size": 32, "partial": True, "mirrors": [], "split": split}
    source = Ham10000()
    raw, listing = source.read(wanted, real), source.listing(wanted, real)
    top, rows = tmp_path / "lesions", []
    (top / "masks").mkdir(parents=True)
    for name, path, lesion, kind in zip(
        *(listing[key] for key in ("name", "path", "lesion_id", "dx")), strict=True
    ):
        (top / f"{name}.jpg").symlink_to(path)
        mask = f"{name}_segmentation.png"
        (top / "masks" / mask).symlink_to(real / "HAM10000_segmentations_lesion_tschandl" / mask)
        rows.append(f"{name}.jpg,{kind},{lesion},masks/{mask}")
    write(top / "images.csv", "file,label,group,mask", *rows)
    settings = options(top, table="images.csv", size=32, split=split)
    found = splits_of(settings)
    assert ImageFolder.classes_of(settings) == source.classes_of(wanted)
    for name, part in raw.items():
        assert found[name].names == [f"{one}.jpg" for one in part.names]
        for array in ("images", "labels", "masks"):
            assert (getattr(found[name], array) == getattr(part, array)).all(), array
    assert ImageFolder.found(settings)["notes"] == {LEAK: "0.0000"}
