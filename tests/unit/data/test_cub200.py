"""CUB-200-2011 on small archives in the original layout; and on the real files that are there."""

import hashlib
import io
import os
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from sparsight.data.location import find_folder
from sparsight.data.packed import PackedSplit
from sparsight.data.packing import pack
from sparsight.data.registry import SOURCES
from sparsight.data.sources.cub200 import (
    PARTS,
    Cub200,
    attribute_names,
    class_majority,
    common_attributes,
    image_majority,
    read_birds,
)
from sparsight.io.errors import CorruptFile, InputError

CLASSES, PER_CLASS, ATTRIBUTES = 12, 4, 6
NAME = "CUB_200_2011"
SETTINGS = {"size": 16, "noise": {"maximum": 0}}


class SmallCub(Cub200):
    """Twelve classes of four photographs, with six attributes."""

    counts: ClassVar[dict[str, int]] = {"images": 48, "classes": 12, "attributes": 6}


def picture(seed: int, size: tuple[int, int], grey: bool = False) -> bytes:
    values = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8)
    stream = io.BytesIO()
    Image.fromarray(values).convert("L" if grey else "RGB").save(stream, "JPEG", quality=95)
    return stream.getvalue()


def outline(size: tuple[int, int]) -> bytes:
    values = np.zeros((size[1], size[0]), np.uint8)
    values[: size[1] // 2] = 255
    values[size[1] // 2 : size[1] // 2 + 4] = 51
    stream = io.BytesIO()
    Image.fromarray(values).save(stream, "PNG")
    return stream.getvalue()


def class_table() -> str:
    """Attribute a is seen by 60% in the classes from a on, by exactly 50% in the others.

    Only the attributes 0, 1 and 2 belong to ten classes or more.
    """
    seen = [[60.0 if label >= a else 50.0 for a in range(ATTRIBUTES)] for label in range(CLASSES)]
    return "".join(" ".join(f"{value:.10f}" for value in row) + "\n" for row in seen)


def votes() -> list[str]:
    """Lines of the table of single annotations.

    All training images of all classes have attribute 1. Attribute 2 is had by one of two training
    images: a tie. Attribute 3 is denied by two, one of whom could not see it, and seen by one test
    image. Attribute 4 is seen in nine classes only. Attributes 5 and 6 are denied.
    """
    lines = []
    for index in range(CLASSES * PER_CLASS):
        label, place = divmod(index, PER_CLASS)
        present = (1, int(place == 0), int(place == 2), int(label < 9), 0, 0)
        for attribute, value in enumerate(present, 1):
            certainty = 1 if attribute == 3 and place == 0 else 3
            lines.append(f"{index + 1} {attribute} {value} {certainty} 1.5\n")
    # As in the original, where some lines have too many columns.
    lines[7] = lines[7].replace(" 1.5", " 0 1.5 2")
    return lines


def small_files() -> dict[str, bytes]:
    """An archive's members by name. Each class has two training and two test images."""
    texts = dict.fromkeys(
        ("images", "image_class_labels", "train_test_split", "bounding_boxes"), ""
    )
    texts["classes"] = "".join(
        f"{label + 1} {label + 1:03d}.Grey_Bird_{label}\n" for label in range(12)
    )
    points, files = "", {}
    for index in range(CLASSES * PER_CLASS):
        label, place = divmod(index, PER_CLASS)
        size = (32, 24) if place % 2 else (24, 32)
        name = f"{label + 1:03d}.Grey_Bird_{label}/Bird_{label}_{place}.jpg"
        files[f"{NAME}/images/{name}"] = picture(index, size, grey=place == 3)
        texts["images"] += f"{index + 1} {name}\n"
        texts["image_class_labels"] += f"{index + 1} {label + 1}\n"
        texts["train_test_split"] += f"{index + 1} {int(place < 2)}\n"
        texts["bounding_boxes"] += f"{index + 1} 4.0 4.0 {size[0] - 8}.0 12.0\n"
        for part in range(1, 16):
            points += f"{index + 1} {part} 12.0 12.0 {int(part == 2)}\n"
    files |= {f"{NAME}/{name}.txt": text.encode() for name, text in texts.items()}
    files[f"{NAME}/parts/part_locs.txt"] = points.encode()
    folder = f"{NAME}/attributes"
    files[f"{folder}/class_attribute_labels_continuous.txt"] = class_table().encode()
    files[f"{folder}/image_attribute_labels.txt"] = "".join(votes()).encode()
    # The original archive has this one outside its folder.
    files["attributes.txt"] = "".join(f"{n} has_size::{n}\n" for n in range(1, 7)).encode()
    return files


def outlines() -> dict[str, bytes]:
    files = {}
    for name in small_files():
        if name.endswith(".jpg"):
            place = int(name[-5])
            member = name.removeprefix(f"{NAME}/images/").replace(".jpg", ".png")
            files[f"segmentations/{member}"] = outline((32, 24) if place % 2 else (24, 32))
    return files


def write_archive(path: Path, files: dict[str, bytes]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An unpacked archive, with outlines."""
    for name, content in small_files().items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    for name, content in outlines().items():
        path = tmp_path / NAME / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return tmp_path / NAME


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_fetched_verified_and_unpacked(tmp_path: Path, serve: Callable) -> None:
    whole = write_archive(tmp_path / "server" / f"{NAME}.tgz", small_files())
    masks = write_archive(tmp_path / "server" / "segmentations.tgz", outlines())

    class Fetched(SmallCub):
        archives: ClassVar[dict] = {
            path.name: (hashlib.sha256(path.read_bytes()).hexdigest(), "unused")
            for path in (whole, masks)
        }

    server = serve(tmp_path / "server")
    settings = {**SETTINGS, "mirrors": [server.address]}
    place = tmp_path / "data" / NAME
    Fetched().fetch({**settings, "masks": "boxes"}, place)
    assert server.requests == [f"/{NAME}.tgz"]
    assert not (place / "segmentations").exists()
    # What lacks is fetched when it is wanted, and nothing else.
    Fetched().fetch(settings, place)
    Fetched().fetch(settings, place)
    assert server.requests == [f"/{NAME}.tgz", "/segmentations.tgz"]
    assert [path.name for path in place.parent.iterdir()] == [NAME]
    raw = Fetched().read(settings, place)
    assert [len(part) for part in raw.values()] == [24, 24]
    assert (place / "attributes.txt").is_file()


def test_hostile_and_wrong_archives_leave_nothing(tmp_path: Path, serve: Callable) -> None:
    path = write_archive(tmp_path / "server" / f"{NAME}.tgz", {**small_files(), "../evil": b"x"})
    server = serve(path.parent)
    place, settings = tmp_path / "data" / NAME, {**SETTINGS, "mirrors": [server.address]}
    with pytest.raises(InputError, match="wrong checksum, SHA-256"):
        SmallCub().fetch(settings, place)

    class Fetched(SmallCub):
        archives: ClassVar[dict] = {
            path.name: (hashlib.sha256(path.read_bytes()).hexdigest(), "unused")
        }

    with pytest.raises(CorruptFile, match="is not the archive that it should be"):
        Fetched().fetch(settings, place)
    assert not place.exists()
    assert not (tmp_path / "evil").exists()


def test_official_split(folder: Path) -> None:
    source = SmallCub()
    raw = source.read(SETTINGS, folder)
    description = source.describe(SETTINGS, folder)
    source.check(SETTINGS, raw, description)
    train, test = raw["train"], raw["test"]
    assert description.classes[:2] == ["Grey Bird 0", "Grey Bird 1"]
    assert train.image_ids[:4].tolist() == [1, 2, 5, 6]
    assert train.labels[:4].tolist() == [0, 0, 1, 1]
    assert test.names[1] == "001.Grey_Bird_0/Bird_0_3.jpg"
    # A greyscale photograph: three equal channels.
    assert (test.images[1] == test.images[1][0]).all()
    # The outline: above the middle the bird, a few rows of grey, then nothing.
    assert train.masks is not None
    assert train.masks[1, :7].min() == 255
    assert train.masks[1, 11:].max() == 0
    assert set(np.unique(train.masks[1, 8:10])) & set(range(40, 60))
    assert train.part_masks is None


def test_validation_and_random_splits(folder: Path) -> None:
    source = SmallCub()

    def ids(**split: object) -> dict[str, set[int]]:
        settings = {**SETTINGS, "masks": "none", "split": split}
        raw = source.read(settings, folder)
        source.check(settings, raw, source.describe(settings, folder))
        return {name: set(part.image_ids.tolist()) for name, part in raw.items()}

    official = ids(validation=12)
    assert {name: len(found) for name, found in official.items()} == {
        "train": 12,
        "validation": 12,
        "test": 24,
    }
    assert official["test"] == ids()["test"]
    assert official["train"] | official["validation"] == ids()["train"]
    random = ids(rule="random", test=0.25, validation=0.25, seed=1)
    assert [len(random[name]) for name in ("train", "validation", "test")] == [24, 12, 12]
    # One of each class, official training images among them.
    assert sorted((number - 1) // PER_CLASS for number in random["test"]) == list(range(12))
    assert random["test"] & ids()["train"]
    assert ids(rule="random", test=12, validation=0, seed=1)["test"] == random["test"]
    assert ids(rule="random", test=12, validation=0, seed=2)["test"] != random["test"]


def test_the_proportions_of_the_study_are_those_of_all_images() -> None:
    split = {"rule": "random", "test": 1183, "validation": 1183}
    assert Cub200.tested_of({"split": split}) == 1183
    assert 11_788 - 2 * 1183 == 9422
    assert Cub200.tested_of({"split": {"rule": "random", "test": 0.1}}) == 1179
    assert Cub200.tested_of({}) == Cub200.test_images == 5794
    assert Cub200.split_names({}) == ("train", "test")
    assert Cub200.split_names({"split": split}) == ("train", "validation", "test")


def test_boxes_and_discs(folder: Path) -> None:
    settings = {**SETTINGS, "masks": "boxes", "part_radius": 0.125}
    source = SmallCub()
    train = source.read(settings, folder)["train"]
    # 32×24 becomes 21×16, of which columns 2 to 18 stay: the box from (4, 4) to (28, 16) of the
    # photograph covers rows 2.7 to 10.7 there, and columns from 0.6 to 16.
    assert train.masks is not None
    mask = train.masks[1]
    assert mask[3:10, 1:].min() == 255
    assert mask[:2].max() == 0
    assert mask[11:].max() == 0
    assert mask[2, 8] == round(255 / 3)
    assert mask[5, 0] == pytest.approx(255 * (1 - (4 * 21 / 32 - 2)), abs=1)
    # Only part 2, the beak, is visible: at (12, 12), so at (5.9, 8), with a radius of 2 pixels.
    assert train.part_masks is not None
    assert source.parts_of(settings) == PARTS
    discs = train.part_masks[1]
    assert np.flatnonzero(discs.any(axis=(1, 2))).tolist() == [PARTS.index("beak")]
    assert discs[1].sum() / 255 == pytest.approx(np.pi * 4, rel=0.1)
    weights = discs[1] / discs[1].sum()
    centre = (
        (np.arange(16) + 0.5) @ weights.sum(axis=1),
        (np.arange(16) + 0.5) @ weights.sum(axis=0),
    )
    assert centre == pytest.approx((8, 12 * 21 / 32 - 2), abs=0.1)


def test_tables_with_a_byte_order_mark_and_outlines_beside(folder: Path) -> None:
    whole = SmallCub().read(SETTINGS, folder)["train"]
    for path in folder.glob("*.txt"):
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    (folder / "segmentations").rename(folder.with_name("segmentations"))
    SmallCub().fetch({**SETTINGS, "mirrors": []}, folder)
    found = SmallCub().read(SETTINGS, folder)["train"]
    assert (found.image_ids == whole.image_ids).all()
    assert (found.masks == whole.masks).all()
    shutil.rmtree(folder.with_name("segmentations"))
    with pytest.raises(InputError, match="segmentations"):
        SmallCub().read(SETTINGS, folder)


def test_too_many_part_masks(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from sparsight.data.sources import cub200

    monkeypatch.setattr(cub200, "MOST_PART_BYTES", 2**16)
    with pytest.raises(InputError, match="part masks of 24 images of 16 pixels need more than"):
        SmallCub().read({**SETTINGS, "part_radius": 0.1}, folder)


def test_class_majority_by_hand(folder: Path) -> None:
    present = class_majority(folder, CLASSES, ATTRIBUTES)
    # More than half: 50% is not enough.
    assert present.tolist() == [[label >= a for a in range(ATTRIBUTES)] for label in range(CLASSES)]
    assert common_attributes(present).tolist() == [0, 1, 2]
    assert attribute_names(folder, ATTRIBUTES)[2] == "has_size::3"
    description = SmallCub().describe(SETTINGS, folder)
    assert description.concept_names == ("has_size::1", "has_size::2", "has_size::3")
    test = SmallCub().read(SETTINGS, folder)["test"]
    assert test.concepts is not None
    assert test.concepts[:6].tolist() == [
        *[[True, False, False]] * 2,
        *[[True, True, False]] * 2,
        *[[True, True, True]] * 2,
    ]


def test_image_majority_by_hand(folder: Path) -> None:
    birds = read_birds(folder, CLASSES * PER_CLASS, partial=False)
    voters = birds[birds["trains"]]
    present = image_majority(folder, voters, CLASSES, ATTRIBUTES)
    # Attribute 1 by all; 2 by a tie; 3 is denied by the one who could see it, and the test image
    # that has it has no vote; 4 in nine classes only.
    assert present.sum(axis=0).tolist() == [12, 12, 0, 9, 0, 0]
    settings = {**SETTINGS, "concepts": "image_majority"}
    assert SmallCub().describe(settings, folder).concept_names == ("has_size::1", "has_size::2")
    assert SmallCub().read(settings, folder)["train"].concepts.all()
    # Where nobody could see it, nobody denies it: as in the published code, the class has it.
    table = folder / "attributes" / "image_attribute_labels.txt"
    table.write_text(table.read_text().replace(" 3 0 3 1.5", " 3 0 1 1.5"))
    assert image_majority(folder, voters, CLASSES, ATTRIBUTES).sum(axis=0)[2] == 12


@pytest.mark.parametrize("rule", ["official", "random"])
def test_images_of_the_training_split_in_use_vote_and_no_others(folder: Path, rule: str) -> None:
    split = {"rule": rule, "validation": 12, "seed": 3}
    if rule == "random":
        split["test"] = 12
    settings = {**SETTINGS, "split": split, "concepts": "none"}
    raw = SmallCub().read(settings, folder)
    training = set(raw["train"].image_ids.tolist())
    birds = read_birds(folder, CLASSES * PER_CLASS, partial=False)
    # Under the random rule, official test images train, and official training images test.
    assert (training <= set(birds["image_id"][birds["trains"]])) is (rule == "official")
    # Training images alone have attribute 1, all others alone have attribute 2.
    lines = []
    for image_id in birds["image_id"]:
        trains = int(image_id in training)
        lines += [
            f"{image_id} {a} {present} 3 1\n"
            for a, present in ((1, trains), (2, 1 - trains), (3, 0), (4, 0), (5, 0), (6, 0))
        ]
    (folder / "attributes" / "image_attribute_labels.txt").write_text("".join(lines))
    settings["concepts"] = "image_majority"
    assert SmallCub().describe(settings, folder).concept_names == ("has_size::1",)
    for part in SmallCub().read(settings, folder).values():
        assert part.concepts is not None
        assert part.concepts.shape[1] == 1


def test_classes_without_images_have_nothing_by_votes(folder: Path) -> None:
    voter = pd.DataFrame({"image_id": [1], "class_id": [1]})
    present = image_majority(folder, voter, CLASSES, ATTRIBUTES)
    assert present[0].tolist() == [True, True, True, True, False, False]
    assert not present[1:].any()


def test_no_concepts_and_no_masks(folder: Path, tmp_path: Path) -> None:
    settings = {**SETTINGS, "concepts": "none", "masks": "none"}
    assert not SmallCub.has_concepts(settings)
    assert not SmallCub.masks_of(settings)
    pack(SmallCub(), settings, folder, tmp_path / "packed")
    for name, count in (("train", 24), ("validation", 0), ("test", 24)):
        with PackedSplit.open(tmp_path / "packed" / f"{name}.safetensors") as split:
            assert (len(split), split.has_masks, split.concept_names) == (count, False, [])


def test_a_part_has_its_own_classes_and_all_concepts(folder: Path, tmp_path: Path) -> None:
    for path in [*folder.glob("images/00[1-9]*/*"), *folder.glob("images/012*/*")]:
        path.unlink()
    with pytest.raises(InputError, match=r"has 8 of 48 images \(images/001.*accept a part with"):
        SmallCub().read(SETTINGS, folder)
    settings = {**SETTINGS, "partial": True}
    SmallCub().fetch({**settings, "mirrors": []}, folder)
    pack(SmallCub(), settings, folder, tmp_path / "packed")
    for name in ("train", "test"):
        with PackedSplit.open(tmp_path / "packed" / f"{name}.safetensors") as split:
            assert split.classes == ["Grey Bird 9", "Grey Bird 10"]
            assert split.concept_names == ["has_size::1", "has_size::2", "has_size::3"]
            assert split.labels().tolist() == [0, 0, 1, 1]
            assert split.concepts([0, 3]).tolist() == [[True] * 3] * 2
            assert split.image_ids()[0] == 37 + 2 * (name == "test")


@pytest.mark.parametrize(
    ("file", "old", "new", "reason"),
    [
        ("images.txt", "2 001.", "1 001.", r"images\.txt has the id 1 twice"),
        ("images.txt", "Bird_0_1.jpg", "Bird_0_0.jpg", r"lists 001.*Bird_0_0\.jpg twice"),
        ("images.txt", "1 001.", "one 001.", r"images\.txt is not the table .*'one' to int64"),
        ("image_class_labels.txt", "\n5 2\n", "\n", r"image_class_labels\.txt has no id 5"),
        ("image_class_labels.txt", "\n5 2\n", "\n5 2 9\n", r"labels\.txt is not .*but 3"),
        ("image_class_labels.txt", "\n5 2\n", "\n5 77\n", r"classes\.txt has no id 77"),
        ("classes.txt", "12 012.Grey_Bird_11\n", "", "names 11 of 12 classes"),
        ("attributes/class_attribute_labels_continuous.txt", "60.0", "160.0", "percentages of 12"),
        ("attributes/class_attribute_labels_continuous.txt", "60.0", "nan ", "number of columns"),
        ("attributes/class_attribute_labels_continuous.txt", "60.0000000000", "nan", "percentages"),
        ("parts/part_locs.txt", "1 2 12.0", "1 22 12.0", "names the part 22, outside 1..15"),
        ("parts/part_locs.txt", "1 2 12.0", "1 2 25.5", r"part_locs.*Bird_0_0\.jpg.*24×32"),
        ("parts/part_locs.txt", "1 2 12.0 12.0", "1 2 12.0 33.5", r"part_locs.*Bird_0_0\.jpg"),
    ],
)
def test_broken_tables(folder: Path, file: str, old: str, new: str, reason: str) -> None:
    change(folder / file, old, new)
    with pytest.raises(InputError, match=reason) as caught:
        SmallCub().read({**SETTINGS, "part_radius": 0.1}, folder)
    assert "\n" not in str(caught.value)


def test_boxes_outside_of_their_photographs_are_refused(folder: Path) -> None:
    """As when the photographs were made smaller and the table stayed; a pixel more is rounding."""
    table, settings = folder / "bounding_boxes.txt", {**SETTINGS, "masks": "boxes"}
    change(table, "1 4.0 4.0 16.0 12.0", "1 4.0 4.0 21.0 12.0")
    SmallCub().read(settings, folder)
    for box in ("4.0 4.0 22.0 12.0", "4.0 4.0 16.0 29.5", "-2.0 4.0 16.0 12.0", "4.0 4.0 0.0 12.0"):
        change(table, "1 4.0 4.0 21.0 12.0", f"1 {box}")
        with pytest.raises(InputError, match=r"bounding_boxes\.txt .*Bird_0_0\.jpg"):
            SmallCub().read(settings, folder)
        change(table, f"1 {box}", "1 4.0 4.0 21.0 12.0")


def test_squashed_photographs_with_original_outlines_are_refused(folder: Path) -> None:
    path = folder / "images" / "001.Grey_Bird_0" / "Bird_0_0.jpg"
    with Image.open(path) as photograph:
        photograph.resize((28, 28)).save(path)
    with pytest.raises(InputError, match=r"Bird_0_0\.png has 24×32 .*Bird_0_0\.jpg 28×28"):
        SmallCub().read(SETTINGS, folder)


@pytest.mark.parametrize(
    ("file", "settings", "reason"),
    [
        ("images.txt", {}, r"images\.txt cannot be read \(No such file"),
        ("images/001.Grey_Bird_0/Bird_0_0.jpg", {}, r"has 47 of 48 images \(images/001\.Grey"),
        ("segmentations/001.Grey_Bird_0/Bird_0_0.png", {}, r"Bird_0_0\.png does not exist; put"),
        ("bounding_boxes.txt", {"masks": "boxes"}, r"bounding_boxes\.txt cannot be read"),
        ("../attributes.txt", {}, "attributes.txt is neither in"),
        (
            "attributes/image_attribute_labels.txt",
            {"concepts": "image_majority"},
            r"image_attribute_labels\.txt cannot be read",
        ),
    ],
)
def test_missing_files(folder: Path, file: str, settings: dict, reason: str) -> None:
    (folder / file).unlink()
    with pytest.raises(InputError, match=reason):
        SmallCub().read({**SETTINGS, **settings}, folder)


def test_votes_that_cannot_be(folder: Path) -> None:
    table = folder / "attributes" / "image_attribute_labels.txt"
    change(table, "1 1 1 3", "1 9 1 3")
    settings = {**SETTINGS, "concepts": "image_majority"}
    with pytest.raises(InputError, match="says 1 of the attribute 9 of image 1"):
        SmallCub().read(settings, folder)
    change(table, "1 9 1 3", "1 1 1")
    table.write_text("1 1 1\n")
    with pytest.raises(InputError, match=r"image_attribute_labels\.txt is not the table"):
        SmallCub().read(settings, folder)


def test_a_class_without_training_images(folder: Path) -> None:
    text = (folder / "train_test_split.txt").read_text()
    (folder / "train_test_split.txt").write_text(
        text.replace("1 1\n", "1 0\n").replace("2 1\n", "2 0\n", 1)
    )
    with pytest.raises(
        InputError, match="the class 'Grey Bird 0' has no images in the split 'train'"
    ):
        SmallCub().read(SETTINGS, folder)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"masks": "outlines"}, "'masks' must be one of segmentations, boxes, none"),
        ({"concepts": "all"}, "'concepts' must be one of class_majority, image_majority, none"),
        ({"resize": "crop"}, "'resize' must be one of aspect, squash"),
        ({"split": {"rule": "lesion"}}, "'rule' must be one of official, random"),
        ({"split": {"test": 0.1}}, "'split: test' has no meaning for 'rule: official'"),
        ({"split": {"folds": 5}}, "unknown key 'folds'"),
        ({"split": {"validation": 24}}, "'split: validation: 24' sets aside 24 of 24 images"),
        ({"split": {"validation": 1.5}}, "a share below 1 or a number of images, not 1.5"),
        ({"part_radius": 2}, "'part_radius' must be at least 0 and at most 0.5"),
        ({"partial": 1}, "'partial' must be true or false"),
    ],
)
def test_unusable_settings(folder: Path, settings: dict, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        SmallCub().read({**SETTINGS, **settings}, folder)


def test_facts() -> None:
    facts = SOURCES.facts("cub200")
    assert facts["class_count"] == facts["counts"]["classes"] == 200
    assert facts["has_masks"] == Cub200.masks_of({})
    assert set(facts["varying"]) <= set(facts) | {"part_names", "concept_names"}
    assert {name for name, *_ in facts["archives"].items()} == {
        "CUB_200_2011.tgz",
        "segmentations.tgz",
    }


@pytest.fixture
def real(tmp_path: Path) -> Path:
    found = find_folder(NAME, tmp_path / "none", os.environ)
    if found is None:
        pytest.skip("no CUB_200_2011 folder below $SPARSIGHT_DATA")
    return found


@pytest.mark.parametrize(("partial", "wrong"), [(False, 0), (True, 0), (True, -3), (True, 13)])
def test_class_ids_outside_the_archive_are_refused(folder: Path, partial: bool, wrong: int) -> None:
    for name in ("classes", "image_class_labels"):
        table = folder / f"{name}.txt"
        lines = [line.split() for line in table.read_text().splitlines()]
        place = 0 if name == "classes" else 1
        for words in lines:
            words[place] = str(wrong) if words[place] == "12" else words[place]
        table.write_text("".join(" ".join(words) + "\n" for words in lines))
    with pytest.raises(
        InputError, match=rf"classes\.txt has the class id {wrong}, outside 1\.\.12"
    ):
        SmallCub().read({**SETTINGS, "partial": partial}, folder)


@pytest.mark.realdata
def test_of_the_real_312_attributes_108_are_kept(real: Path) -> None:
    present = class_majority(real, 200, 312)
    columns = common_attributes(present)
    assert len(columns) == 108
    names = attribute_names(real, 312)
    assert names[columns[0]] == "has_bill_shape::dagger"
    counts = present[:, columns].sum(axis=0)
    assert counts.min() >= 10
    assert counts.max() < 200
    # Every species has some, and no two of them the same.
    assert present.any(axis=1).all()


@pytest.mark.realdata
def test_real_birds(real: Path, tmp_path: Path) -> None:
    settings = {
        **SETTINGS,
        "size": 32,
        "masks": "boxes",
        "part_radius": 0.06,
        "partial": True,
        "mirrors": [],
    }
    source = Cub200()
    source.fetch(settings, real)
    pack(source, settings, real, tmp_path / "birds")
    with PackedSplit.open(tmp_path / "birds" / "train.safetensors") as split:
        classes, count = len(split.classes), len(split)
        assert split.classes[0] == "Black footed Albatross"
        assert split.image_ids()[:2].tolist() == [2, 4]
        concepts = split.concepts(range(count))
        for label in range(classes):
            # Of a class: no variation within it.
            assert (concepts[split.labels() == label].unique(dim=0)).shape == (1, 108)
        batch = split.rows(0, count)
        # Birds stand out from the border of the photograph, so boxes cover half of it or so.
        assert 0.3 < batch.mask_values.float().mean() / 255 < 0.8
        parts = split.part_masks(range(count)).float().amax(dim=1)
        # The parts' points lie within the boxes.
        assert (parts * batch.mask_values.reshape(parts.shape)).sum() / 255 > 0.9 * parts.sum()
    with PackedSplit.open(tmp_path / "birds" / "test.safetensors") as split:
        assert (count, len(split)) == (30 * classes, split.labels().numel())
        assert len(split.concept_names) == 108
    if classes == 10:
        assert len(concepts[0]) == 108
        varying = concepts.any(dim=0) & ~concepts.all(dim=0)
        assert varying.sum() == 50
        assert len(concepts[:, varying].unique(dim=1).T) == 25
