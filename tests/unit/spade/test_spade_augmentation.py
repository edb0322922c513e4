"""Augmented copies: against torchvision, who is drawn by whom, and in what pieces."""

import copy
from typing import Any

import pytest
import torch
from torchvision.transforms.v2 import functional as reference

from sparsight.io.errors import InputError
from sparsight.spade import sample
from sparsight.spade.sample import (
    PUBLISHED,
    apply_draws,
    augmented_copies,
    copy_batches,
    draw_copies,
)


def test_the_published_parameters() -> None:
    assert PUBLISHED == {
        "random_resized_crop": {"scale": [0.2, 1.0], "ratio": [3 / 4, 4 / 3]},
        "flip": True,
        "colour_jitter": {"brightness": 0.5, "hue": 0.3},
    }


def test_copies_are_those_of_torchvision_for_the_same_draws(pictures: Any) -> None:
    images, ids = pictures(1, side=20)
    draws = draw_copies((3, 20, 20), 12, int(ids[0]), "name")
    found = augmented_copies(images, 12, ids, "name")[0]
    assert draws.boxes is not None
    assert draws.flipped is not None
    assert 0 < draws.flipped.sum() < 12
    assert list(draws.factors) == ["brightness", "hue"]
    for row in range(12):
        box = [int(each[row]) for each in vars(draws.boxes).values()]
        wanted = reference.resized_crop(images[0], *box, size=[20, 20], antialias=False)
        if draws.flipped[row]:
            wanted = reference.horizontal_flip(wanted)
        wanted = reference.adjust_brightness(wanted, float(draws.factors["brightness"][row]))
        wanted = reference.adjust_hue(wanted, float(draws.factors["hue"][row]))
        assert torch.allclose(found[row], wanted, atol=2e-5), row


def test_draws_keep_to_their_ranges_and_fill_them() -> None:
    draws = draw_copies((3, 40, 40), 2000, 3, "name")
    assert draws.boxes is not None
    share = draws.boxes.height * draws.boxes.width / 1600
    assert 0.18 < share.min() < 0.22
    assert share.max() > 0.95
    brightness, hue = draws.factors["brightness"], draws.factors["hue"]
    assert 0.5 <= brightness.min() < 0.51
    assert 1.49 < brightness.max() <= 1.5
    assert -0.3 <= hue.min() < -0.29
    assert 0.29 < hue.max() <= 0.3


def test_copies_depend_on_id_and_name_alone(pictures: Any) -> None:
    images, ids = pictures(3, side=12)
    found = augmented_copies(images, 5, ids, "name")
    assert found.shape == (3, 5, 3, 12, 12)
    assert found.min() >= 0
    assert found.max() <= 1
    turned = augmented_copies(images.flip(0), 5, ids.flip(0), "name")
    assert torch.equal(turned.flip(0), found)
    assert torch.equal(augmented_copies(images[1:2], 5, ids[1:2], "name")[0], found[1])
    # the same image under another id or name is drawn anew, and copies differ from each other
    same = images[:1].expand(2, -1, -1, -1)
    assert not torch.equal(*augmented_copies(same, 5, torch.tensor([1, 2]), "name"))
    assert not torch.equal(augmented_copies(images, 5, ids, "other"), found)
    assert not torch.equal(found[0, 0], found[0, 1])


def test_nothing_global_is_drawn_from_or_changed(pictures: Any) -> None:
    images, ids = pictures(1, side=12)
    before, settings = torch.get_rng_state(), copy.deepcopy(PUBLISHED)
    augmented_copies(images, 3, ids, "name")
    assert torch.equal(torch.get_rng_state(), before)
    assert settings == PUBLISHED


@pytest.mark.parametrize(("count", "size"), [(7, 3), (7, 7), (3, 7), (4, 8), (1, 1), (5, 64)])
def test_batches_hold_every_copy_once_and_no_more_than_allowed(
    pictures: Any, count: int, size: int
) -> None:
    images, ids = pictures(4, side=10)
    wanted = augmented_copies(images, count, ids, "name")
    found = torch.full_like(wanted, torch.nan)
    for rows, places, copies in copy_batches(images, count, ids, "name", batch_size=size):
        assert copies.shape[0] * copies.shape[1] <= size
        assert found[rows, places].isnan().all()
        found[rows, places] = copies
    assert torch.allclose(found, wanted, atol=1e-6)


def test_memory_is_that_of_a_chunk(pictures: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    images, ids = pictures(2, side=6)
    sizes: list[int] = []

    def noted(some: torch.Tensor, draws: Any) -> torch.Tensor:
        sizes.append(len(some))
        return apply_draws(some, draws)

    monkeypatch.setattr(sample, "apply_draws", noted)
    augmented_copies(images, sample.CHUNK + 3, ids, "name")
    assert sizes == [sample.CHUNK, 3] * 2


def test_grey_images_keep_their_hue(pictures: Any) -> None:
    images, ids = pictures(2, channels=1, side=12)
    found = augmented_copies(images, 6, ids, "name")
    assert found.shape == (2, 6, 1, 12, 12)
    assert list(draw_copies((1, 12, 12), 6, 5, "name").factors) == ["brightness"]


def test_what_is_left_out_is_not_done(pictures: Any) -> None:
    images, ids = pictures(2, side=12)
    assert torch.equal(
        augmented_copies(images, 3, ids, "name", {}), images[:, None].expand(-1, 3, -1, -1, -1)
    )
    mirrored = augmented_copies(images, 8, ids, "name", {"flip": True})
    for place in range(2):
        kinds = {bool(torch.equal(each, images[place])) for each in mirrored[place]}
        assert kinds == {True, False}
        assert all(
            torch.equal(each, images[place]) or torch.equal(each, images[place].flip(2))
            for each in mirrored[place]
        )


def test_settings_that_cannot_be_used(pictures: Any) -> None:
    images, ids = pictures(1, side=6)
    with pytest.raises(InputError, match="'augmentations' is 0"):
        augmented_copies(images, 0, ids, "name")
    with pytest.raises(InputError, match="'batch_size' is 0"):
        next(copy_batches(images, 1, ids, "name", batch_size=0))
    with pytest.raises(InputError, match="unknown parameter 'crop'"):
        augmented_copies(images, 1, ids, "name", {"crop": {}})
