"""The embedded digits: real, exact, stratified, on an exactly zero background."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from sparsight.data.sources.digits import Digits, bring_to_28, read_original
from sparsight.io.errors import InputError

NOWHERE = Path("unused")


def test_originals_are_those_of_scikit_learn() -> None:
    from sklearn.datasets import load_digits

    known = load_digits()
    images, labels = read_original()
    assert (images == known.images).all()
    assert (labels == known.target).all()


def test_reading_does_not_import_scikit_learn() -> None:
    code = (
        "import sys; from sparsight.data.sources.digits import read_original; read_original();"
        "sys.exit('sklearn' in sys.modules or 'torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_slow_way_when_the_file_is_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    fast = read_original()
    monkeypatch.setattr(Path, "is_file", lambda _: False)
    slow = read_original()
    assert all((one == other).all() for one, other in zip(fast, slow, strict=True))


def test_scaling_is_that_of_torch() -> None:
    originals, _ = read_original()
    scaled = torch.nn.functional.interpolate(
        torch.from_numpy(originals)[:, None].double(), size=(20, 20), mode="bilinear"
    )
    exact = scaled[:, 0].numpy() * 255 / 16
    found = bring_to_28(originals)[:, 4:-4, 4:-4]
    assert np.abs(found - exact).max() <= 0.5 + 1e-9
    assert found.max() == 255


def test_background_is_exactly_zero() -> None:
    images = bring_to_28(read_original()[0])
    border = np.ones((28, 28), dtype=bool)
    border[4:-4, 4:-4] = False
    assert (images[:, border] == 0).all()
    # Within the frame, too: more than a fifth of its pixels hold no ink.
    assert (images[:, ~border] == 0).mean() > 0.2


def test_a_single_pixel_by_hand() -> None:
    image = np.zeros((1, 8, 8), dtype=np.uint8)
    image[0, 0, 0] = 16
    scaled = bring_to_28(image)[0, 4:, 4:]
    # Places of the first four pixels in the original: 0 (clamped), 0.1, 0.5, 0.9; then 1.3.
    column = np.array([1, 0.9, 0.5, 0.1, 0])
    assert scaled[:5, 0].tolist() == [255, 230, 128, 26, 0]
    assert scaled[1, :5].tolist() == np.floor(255 * 0.9 * column + 0.5 + 1e-9).tolist()


def test_splits_are_stratified_disjoint_and_complete() -> None:
    settings = {"split": {"test": 400, "validation": 100, "seed": 3}}
    source = Digits()
    raw = source.read(settings, NOWHERE)
    source.check(settings, raw)
    assert {name: len(part) for name, part in raw.items()} == {
        "train": 1297,
        "validation": 100,
        "test": 400,
    }
    everything = np.concatenate([part.image_ids for part in raw.values()])
    assert sorted(everything) == list(range(1797))
    sizes = np.bincount(read_original()[1])
    for part in raw.values():
        assert np.abs(np.bincount(part.labels) - sizes * len(part) / 1797).max() <= 1
    images, labels = bring_to_28(read_original()[0]), read_original()[1]
    for part in raw.values():
        assert (part.images[:, 0] == images[part.image_ids]).all()
        assert (part.labels == labels[part.image_ids]).all()
        assert part.names == [f"digits:{image_id}" for image_id in part.image_ids]


def test_default_has_no_validation_and_follows_its_seed() -> None:
    source = Digits()
    first, again = source.read({}, NOWHERE), source.read({}, NOWHERE)
    assert list(first) == ["train", "test"] == list(source.split_names({}))
    assert len(first["test"]) == 500
    assert first["test"].names == again["test"].names
    other = source.read({"split": {"seed": 1}}, NOWHERE)
    assert other["test"].names != first["test"].names


@pytest.mark.parametrize(
    ("split", "reason"),
    [
        ({"test": 1000, "validation": 797}, "sets aside 797 of 1797"),
        ({"test": 0}, "'split: test' must be a whole number from 1"),
        ({"validation": 1.5}, "'split: validation' must be a whole number"),
        ({"seed": True}, "'split: seed' must be a whole number"),
        ({"tests": 10}, "unknown key 'tests'; it takes test, validation, seed"),
        (500, "'split' must be a mapping"),
    ],
)
def test_unusable_settings(split: object, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        Digits().read({"split": split}, NOWHERE)
