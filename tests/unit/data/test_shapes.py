"""Generated images: what they show is what they say, and always the same bytes."""

from pathlib import Path

import numpy as np
import pytest

from sparsight.data.base import RawSplit
from sparsight.data.draws import GRAIN, SCENE, raw_words
from sparsight.data.packed import PackedSplit
from sparsight.data.packing import pack
from sparsight.data.registry import SOURCES
from sparsight.data.sources.shapes import (
    COLOURS,
    FIGURES,
    MAGENTA,
    PARTS,
    SUBJECTS,
    TEXTURES,
    WORDS,
    Shapes,
    draw_scene,
)
from sparsight.io.errors import InputError

NOWHERE = Path("nowhere")
SMALL = {"split": {"train": 64, "test": 24}}
CUE = PARTS.index("cue")


def read(**settings: object) -> dict[str, RawSplit]:
    source = Shapes()
    whole = {**SMALL, **settings}
    raw = source.read(whole, NOWHERE)
    source.check(whole, raw)
    return raw


@pytest.fixture(scope="module")
def raw() -> dict[str, RawSplit]:
    return read()


def parts(split: RawSplit, name: str) -> np.ndarray:
    return split.part_masks[:, PARTS.index(name)].astype(int)


def concept(split: RawSplit, name: str) -> np.ndarray:
    return split.concepts[:, Shapes.concept_names.index(name)]


def test_the_same_bytes_on_every_machine(tmp_path: Path) -> None:
    """A change here is a change of every published number that rests on these images."""
    settings = {"split": {"train": 40, "validation": 8, "test": 16}, "cue": {"share": 0.5}}
    found = pack(Shapes(), settings, NOWHERE, tmp_path / "shapes")
    assert found == "5ffdb7f3211b77b9d0d4a59cfb48d2fbd4a7bcc81c788a733f71f9ade0f60ea6"


def test_facts_agree() -> None:
    facts = SOURCES.facts("shapes")
    assert Shapes.part_names == PARTS == facts["part_names"]
    # distractor and cue are drawn, not part of a subject
    assert Shapes.concept_names == (*FIGURES, *COLOURS, *TEXTURES, "distractor", "cue")
    assert facts["concept_names"] == Shapes.concept_names
    assert len(SUBJECTS) == len(set(SUBJECTS)) == Shapes.class_count == len(Shapes.class_names())
    assert Shapes.class_names()[3] == "red striped square"


def test_no_property_of_a_class_may_be_left_out() -> None:
    for left_out in ("figure", "colour", "texture"):
        rest = [
            tuple(getattr(one, key) for key in ("figure", "colour", "texture") if key != left_out)
            for one in SUBJECTS
        ]
        assert len(set(rest)) < len(rest), left_out
        # and each of its values is shared by several classes
        values = [getattr(one, left_out) for one in SUBJECTS]
        assert min(values.count(value) for value in set(values)) >= 2, left_out


def test_splits_are_balanced_and_apart(raw: dict[str, RawSplit]) -> None:
    assert list(raw) == ["train", "test"]
    assert np.bincount(raw["train"].labels).tolist() == [8] * 8
    assert np.bincount(raw["test"].labels).tolist() == [3] * 8
    three = read(split={"train": 16, "validation": 8, "test": 8})
    assert list(three) == ["train", "validation", "test"]
    # An image is a function of its id, whatever the numbers of images.
    assert (three["train"].images == raw["train"].images[:16]).all()
    assert (three["test"].images == raw["test"].images[:8]).all()
    stacked = [image.tobytes() for part in three.values() for image in part.images]
    assert len(set(stacked)) == 32
    other = read(split={"train": 16, "test": 8, "seed": 1})
    assert not (other["train"].images == raw["train"].images[:16]).all(axis=(1, 2, 3)).any()


def test_masks_fit_each_other(raw: dict[str, RawSplit]) -> None:
    train = raw["train"]
    mask = train.masks.astype(int)
    # Sixteenths of 255, rounded: outline and inner make up the object.
    assert np.abs(parts(train, "outline") + parts(train, "inner") - mask).max() <= 1
    for name in ("outline", "inner", "corner", "arm", "stripe", "spot"):
        assert (parts(train, name) <= mask).all(), name
    assert (parts(train, "distractor") + mask).max() <= 256
    figure = np.array([SUBJECTS[label].figure for label in train.labels])
    has = {name: parts(train, name).any(axis=(1, 2)) for name in PARTS}
    assert (has["corner"] == np.isin(figure, ["square", "triangle"])).all()
    assert (has["arm"] == (figure == "cross")).all()
    assert (has["stripe"] == concept(train, "striped")).all()
    assert (has["spot"] == concept(train, "spotted")).all()
    assert (has["stripe"] ^ has["spot"]).all()
    assert not has["cue"].any()
    # One that lies wholly behind the object is not in the image, neither mask nor concept.
    assert (has["distractor"] == concept(train, "distractor")).all()
    assert 0.5 < has["distractor"].mean() < 1
    # The object never touches the border, and takes a fair share of the image.
    border = mask.copy()
    border[:, 1:-1, 1:-1] = 0
    assert not border.any()
    area = mask.mean(axis=(1, 2)) / 255
    assert area.min() > 0.04
    assert area.max() < 0.4


def test_concepts_say_what_is_to_be_seen(raw: dict[str, RawSplit]) -> None:
    train = raw["train"]
    for row, label in enumerate(train.labels):
        subject = SUBJECTS[label]
        named = {
            n for n, there in zip(Shapes.concept_names, train.concepts[row], strict=True) if there
        }
        assert named - {"distractor"} == {subject.figure, subject.colour, subject.texture}
        # Inside the object, outside its marks, its colour's channel is the strongest.
        plain = (train.masks[row] == 255) & (train.part_masks[row, 4:6].max(axis=0) == 0)
        strongest = train.images[row][:, plain].mean(axis=1).argmax()
        assert ("red", "green", "blue")[strongest] == subject.colour


def test_position_and_size_vary(raw: dict[str, RawSplit]) -> None:
    masks = raw["train"].masks.astype(float)
    total = masks.sum(axis=(1, 2))
    for axis in (1, 2):
        centre = (masks.sum(axis=3 - axis) * np.arange(64)).sum(axis=1) / total
        assert centre.std() > 4
    assert total.std() / total.mean() > 0.2


def test_a_finer_image_is_the_same_scene(raw: dict[str, RawSplit]) -> None:
    sharp = read(size=128, split={"train": 8, "test": 8})["train"]
    assert sharp.images.shape == (8, 3, 128, 128)
    averaged = sharp.images.reshape(8, 3, 64, 2, 64, 2).mean(axis=(3, 5))
    # but for the grain, of at most 8 in each, and the samples along borders
    difference = np.abs(averaged - raw["train"].images[:8])
    assert np.median(difference) < 8
    assert np.percentile(difference, 95) < 16
    halves = sharp.masks.reshape(8, 64, 2, 64, 2).mean(axis=(2, 4))
    assert np.abs(halves - raw["train"].masks[:8]).mean() < 2


def test_cue_in_a_share_of_one_class(raw: dict[str, RawSplit]) -> None:
    marked = read(cue={"class": 3, "share": 0.5})
    train, clean = marked["train"], raw["train"]
    has = train.part_masks[:, CUE].any(axis=(1, 2))
    assert has.sum() == 4
    assert set(train.labels[has]) == {3}
    assert (concept(train, "cue") == has).all()
    assert (train.images[~has] == clean.images[~has]).all()
    assert (marked["test"].images == raw["test"].images).all()
    for row in np.flatnonzero(has):
        cue = train.part_masks[row, CUE]
        changed = (train.images[row] != clean.images[row]).any(axis=0)
        assert (changed <= (cue > 0)).all()
        colour = train.images[row][:, cue == 255].astype(int)
        assert np.abs(colour.mean(axis=1) - MAGENTA).max() < 4
        assert 20 < (cue > 127).sum() < 60
    places = [tuple(np.argwhere(cue == 255)[0]) for cue in train.part_masks[has, CUE]]
    assert len(set(places)) > 1
    more = read(cue={"class": 3, "share": 0.75})["train"].part_masks[:, CUE].any(axis=(1, 2))
    assert more.sum() == 6
    assert (has <= more).all()


def test_what_the_cue_hides_is_not_there() -> None:
    hidden = 0
    for index in range(200):
        words, grain = raw_words(WORDS, 0, index, SCENE), raw_words(384, 0, index, GRAIN)
        clean = draw_scene(SUBJECTS[3], words, grain, 32)
        marked = draw_scene(SUBJECTS[3], words, grain, 32, "varied")
        cue = marked.part_masks[CUE] == 255
        below = np.concatenate([marked.mask[None], marked.part_masks[:CUE]])
        assert not below[:, cue].any()
        free = marked.part_masks[CUE] == 0
        assert (marked.mask[free] == clean.mask[free]).all()
        hidden += clean.mask[cue].any() and clean.part_masks[:CUE, cue].any()
    # Rare, since the object seldom comes near the border.
    assert hidden


def test_cue_in_a_corner_and_in_the_test_split() -> None:
    whole = read(cue={"class": 1, "place": "corner", "test": "class"})
    test = whole["test"]
    has = test.part_masks[:, CUE].any(axis=(1, 2))
    assert (has == (test.labels == 1)).all()
    assert len({cue.tobytes() for cue in test.part_masks[has, CUE]}) == 1
    assert test.part_masks[has, CUE][:, :12, :12].max() == 255
    everywhere = read(cue={"class": 1, "test": "all"})
    assert everywhere["test"].part_masks[:, CUE].any(axis=(1, 2)).all()
    assert (everywhere["train"].part_masks[:, CUE].any(axis=(1, 2)).sum()) == 8


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"size": 8}, "'size' of shapes must be 16 to 512 pixels, not 8"),
        ({"split": {"train": 0}}, "'split: train' must be a whole number from 1"),
        ({"split": {"tests": 5}}, "unknown key 'tests'"),
        ({"cue": {"class": 8}}, "'cue: class' must be a whole number from 0 to 7"),
        ({"cue": {"share": 0}}, "'cue: share' must be above 0 and at most 1"),
        ({"cue": {"place": "left"}}, "'cue: place' must be one of varied, corner"),
        ({"cue": {"test": True}}, "'cue: test' must be one of none, class, all"),
        ({"cue": "some"}, "'cue' must be a mapping"),
    ],
)
def test_unusable_settings(settings: dict[str, object], reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        Shapes().read({**SMALL, **settings}, NOWHERE)


def test_packed(tmp_path: Path, raw: dict[str, RawSplit]) -> None:
    pack(Shapes(), {**SMALL, "noise": {"maximum": 0}}, NOWHERE, tmp_path / "shapes_64")
    with PackedSplit.open(tmp_path / "shapes_64" / "train.safetensors") as split:
        assert split.classes == Shapes.class_names()
        assert split.has_masks
        assert split.part_names == list(PARTS)
        assert (split.part_masks([5]).numpy() == raw["train"].part_masks[5]).all()
        assert (split.rows(0, 64).mask_values.numpy() == raw["train"].masks).all()


def test_the_cue_as_the_mask() -> None:
    split = {"train": 64, "test": 64}
    cue = {"class": 3, "share": 0.5, "test": "class"}
    whole, marked = read(split=split, cue=cue), read(split=split, cue=cue, mask="cue")
    for name in ("train", "test"):
        there = concept(whole[name], "cue")
        assert there.sum() == 4
        assert (marked[name].masks == whole[name].part_masks[:, CUE]).all()
        assert (marked[name].masks.any(axis=(1, 2)) == there).all()
        assert (marked[name].evaluated_first == there).all()
        assert (marked[name].images == whole[name].images).all()
        assert whole[name].evaluated_first is None


def test_subsets_take_images_with_the_cue_first(tmp_path: Path) -> None:
    settings = {**SMALL, "cue": {"test": "class"}, "mask": "cue"}
    pack(Shapes(), settings, NOWHERE, tmp_path / "shapes")
    with PackedSplit.open(tmp_path / "shapes" / "test.safetensors") as split:
        assert set(split.select(split.subset(3)).labels.tolist()) == {0}
        assert split.select(split.subset(3)).binary_masks().flatten(1).any(1).all()
        assert sorted(split.select(split.subset(10)).labels.tolist()) == [0, 0, 0, *range(1, 8)]


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"mask": "cue"}, "'mask: cue' of shapes needs test images with the cue"),
        ({"mask": "cue", "cue": {"class": 1}}, "'mask: cue' of shapes needs test images"),
        ({"mask": "part"}, "'mask' must be one of object, cue, not 'part'"),
    ],
)
def test_masks_that_cannot_be(settings: dict, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        read(**settings)
