"""Random logit: known similarities, the draw of the other class, what is undefined."""

import pytest
import torch
from torch import nn

from sparsight.io.errors import InputError
from sparsight.metrics.agreement import ssim
from sparsight.metrics.base import MapBatch
from sparsight.metrics.preparation import min_max
from sparsight.metrics.randomisation import RandomLogit, other_classes

CLASSES = 4


def class_maps(seed=0):
    """A map [8, 8] in [0, 1] of each class."""
    return min_max(torch.randn((CLASSES, 8, 8), generator=torch.Generator().manual_seed(seed)))


def by_class(maps):
    return lambda model, images, targets, rows=None: maps[targets]


def score(metric, network, batch, explain):
    images, targets = batch
    return metric.score(
        MapBatch(explain(network, images, targets), images, targets, None, network, explain)
    )


@pytest.mark.parametrize("control", ["edges", "random"])
def test_what_does_not_look_at_the_class_is_alike(control, network, batch, explaining):
    explain = explaining(control, range(5), "min_max")
    for metric in (RandomLogit(), RandomLogit(others=3)):
        assert score(metric, network, batch, explain).tolist() == pytest.approx([1] * 5)


def test_similarity_is_that_with_the_maps_of_other_classes(network, batch):
    images, targets = batch
    maps = class_maps()
    drawn = other_classes(images, targets, CLASSES, 1, "random_logit")[:, 0]
    found = score(RandomLogit(), network, batch, by_class(maps))
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, ssim(maps[targets], maps[drawn]))
    # all the others, of which there are three
    for others in (3, 9):
        found = score(RandomLogit(others=others), network, batch, by_class(maps))
        for row, target in enumerate(targets.tolist()):
            rest = [ssim(maps[[target]], maps[[k]]) for k in range(CLASSES) if k != target]
            assert found[row].item() == pytest.approx(torch.cat(rest).mean().item(), abs=1e-6)


def test_a_reversed_map_is_unlike(network, batch):
    maps = class_maps()
    maps = torch.stack([maps[0], 1 - maps[0], 1 - maps[0], 1 - maps[0]])
    images, _ = batch
    zeros = torch.zeros(5, dtype=torch.int64)
    assert (score(RandomLogit(), network, (images, zeros), by_class(maps)) < -0.5).all()


def test_other_classes_are_drawn_for_the_image():
    images = torch.rand((300, 1, 3, 3), generator=torch.Generator().manual_seed(3))
    targets = torch.arange(300) % 5
    drawn = other_classes(images, targets, 5, 3, "a")
    assert drawn.shape == (300, 3)
    assert ((drawn >= 0) & (drawn < 5)).all()
    assert (drawn != targets[:, None]).all()
    assert (drawn.sort(dim=1).values.diff(dim=1) > 0).all()
    # each of the four others comes first about as often: 75 ± 3 · 7.5
    first = (drawn[:, 0] - targets) % 5
    assert first.bincount(minlength=5)[1:].tolist() == pytest.approx([75] * 4, abs=23)
    rows = torch.tensor([200, 3])
    assert torch.equal(other_classes(images[rows], targets[rows], 5, 3, "a"), drawn[rows])
    assert not torch.equal(other_classes(images, targets, 5, 3, "b"), drawn)
    assert other_classes(images, targets, 5, 9, "a").shape == (300, 4)


def test_no_row_depends_on_the_batch(network, batch, explaining):
    images, targets = batch

    def part(rows):
        explain = explaining("input_x_gradient", rows, "min_max")
        return score(RandomLogit(others=2), network, (images[rows], targets[rows]), explain)

    whole = part([0, 1, 2, 3, 4])
    assert len(set(whole.tolist())) == 5
    torch.testing.assert_close(torch.cat([part([3, 0]), part([4])]), whole[[3, 0, 4]])


def test_the_mean_is_over_the_classes_that_are_defined(network, batch):
    images, _ = batch
    maps = class_maps()
    maps[1] = 0.5
    targets = torch.tensor([1, 0, 2, 3, 0])
    found = score(RandomLogit(others=3), network, (images, targets), by_class(maps))
    # nothing is like an empty map of the target itself
    assert found.isnan().tolist() == (targets == 1).tolist()
    for row, target in enumerate(targets.tolist()):
        if target != 1:
            rest = [ssim(maps[[target]], maps[[k]]) for k in {0, 2, 3} - {target}]
            assert found[row].item() == pytest.approx(torch.cat(rest).mean().item(), abs=1e-6)


def test_no_class_that_is_defined_gives_nan(network, batch):
    images, _ = batch
    maps = class_maps()
    maps[1] = 0.5
    targets = torch.tensor([1, 0, 2, 3, 0])
    drawn = other_classes(images, targets, CLASSES, 1, "random_logit")[:, 0]
    found = score(RandomLogit(), network, (images, targets), by_class(maps))
    assert found.isnan().tolist() == ((targets == 1) | (drawn == 1)).tolist()
    assert not found.isnan().all()
    maps[0] = maps[2] = 0.5
    threes = torch.full_like(targets, 3)
    assert score(RandomLogit(others=3), network, (images, threes), by_class(maps)).isnan().all()


def test_what_cannot_be_used(network, batch):
    images, targets = batch
    with pytest.raises(InputError, match="others is 0, but must be at least 1"):
        RandomLogit(others=0)
    with pytest.raises(InputError, match="needs an explainer"):
        RandomLogit().score(MapBatch(images[:, 0], images, targets, None, network, None))
    with pytest.raises(InputError, match="random_logit needs images of at least 7 x 7 pixels"):
        score(RandomLogit(), network, (images[:, :, :6], targets), by_class(class_maps()))
    one = nn.Sequential(nn.Flatten(), nn.Linear(3 * 64, 1))
    with pytest.raises(InputError, match="two or more classes"):
        score(RandomLogit(), one, (images, targets * 0), by_class(class_maps()))
