"""A map that is constant up to rounding is a constant map, for every metric."""

import pytest
import torch

from sparsight.metrics.agreement import Spearman, Ssim, TopKIou, mean_ranks, top_membership
from sparsight.metrics.base import MapBatch, shows_nothing
from sparsight.metrics.faithfulness import FaithfulnessCorrelation
from sparsight.metrics.localisation import (
    affine_iou,
    area_matched_iou,
    pixel_roc_auc,
    pointing_game,
)
from sparsight.metrics.preparation import NORMALISATIONS, TREATMENTS, min_max, prepare
from sparsight.metrics.randomisation import histogram_entropy
from sparsight.metrics.registry import METRICS

SIDE = 28
VALUES = (0.079, 0.5, 1 / 3, 123.456, -0.7, 1e-20)


def rounded(value: float, side: int = 11) -> torch.Tensor:
    """Maps [6, side, side] of `value` and up to five units in the last place more."""
    steps = torch.randint(0, 6, (6, side, side), generator=torch.Generator().manual_seed(0))
    eps = torch.finfo(torch.float32).eps
    return torch.full((6, side, side), value) * (1 + steps * eps)


@pytest.fixture
def mask():
    masks = torch.zeros(6, SIDE, SIDE, dtype=torch.bool)
    masks[:, 2:9, 2:9] = True
    return masks


@pytest.mark.parametrize("normalisation", NORMALISATIONS)
@pytest.mark.parametrize("treatment", TREATMENTS)
@pytest.mark.parametrize("value", VALUES)
def test_metrics_see_a_constant(value, treatment, normalisation):
    maps = rounded(value)
    assert maps[0].unique().numel() > 2
    for size in ((11, 11), (SIDE, SIDE), (5, 5)):
        found = prepare(maps, size, "bilinear", treatment, normalisation)
        assert all(one.unique().numel() == 1 for one in found)
        if normalisation == "min_max":
            assert not found.any()


def test_plus_and_minus_of_one_magnitude_are_constant_in_magnitude_only():
    signs = torch.where(torch.rand(6, 11, 11) < 0.5, -1.0, 1.0)
    maps = signs * rounded(0.3)
    assert prepare(maps, (11, 11), "none", "absolute", "none")[0].unique().numel() == 1
    assert prepare(maps, (11, 11), "none", "signed", "min_max")[0].unique().numel() > 1


def without_network():
    """Metrics that score maps and masks alone."""
    return sorted(
        name
        for name in METRICS.entries
        if not set(METRICS.load(name).needs) & {"model", "explainer"}
    )


@pytest.mark.parametrize("name", without_network())
def test_scores_are_those_of_the_constant(name, mask):
    metric = METRICS.load(name)()
    masks = {"none": None, "soft": mask.float(), "binary": mask}[metric.mask_rule]
    for value in VALUES:
        found, expected = (
            metric.score(
                MapBatch(
                    prepare(maps, (SIDE, SIDE), "bilinear", metric.treatment, metric.normalisation),
                    torch.zeros(6, 1, SIDE, SIDE),
                    torch.zeros(6, dtype=torch.int64),
                    masks,
                ),
            )
            for maps in (rounded(value), torch.full((6, 11, 11), value))
        )
        torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-5, equal_nan=True)


@pytest.mark.parametrize("name", without_network())
def test_an_empty_map_is_scored_as_a_constant_one_is(name, mask):
    metric = METRICS.load(name)()
    masks = {"none": None, "soft": mask.float(), "binary": mask}[metric.mask_rule]
    raw = torch.full((6, 11, 11), 0.5)
    raw[:3] = 0
    ready = prepare(raw, (SIDE, SIDE), "bilinear", metric.treatment, metric.normalisation)
    targets = torch.zeros(6, dtype=torch.int64)
    found = metric.score(MapBatch(ready, torch.zeros(6, 1, SIDE, SIDE), targets, masks))
    assert found.isfinite().all()
    torch.testing.assert_close(found[:3], found[3:])


def test_chance_without_preparation(mask):
    """The functions themselves, as the search for sparsities calls them."""
    share = mask[0].float().mean().item()
    for value in VALUES:
        maps = rounded(value, SIDE)
        assert pixel_roc_auc(maps, mask).tolist() == pytest.approx([0.5] * 6)
        assert pointing_game(maps, mask).tolist() == pytest.approx([share] * 6)
        assert area_matched_iou(maps, mask).tolist() == pytest.approx([share / (2 - share)] * 6)
        assert not min_max(maps).any()
        assert shows_nothing(maps).all()
        assert histogram_entropy(maps, 100).isnan().all()
    constant = affine_iou(torch.full((6, SIDE, SIDE), 0.5), mask.float())
    torch.testing.assert_close(affine_iou(rounded(0.5, SIDE), mask.float()), constant)


@pytest.mark.parametrize("metric", [Spearman, TopKIou, Ssim])
def test_two_networks_without_signal_do_not_agree(metric):
    instance = metric()
    for second in (rounded(0.5), torch.rand(6, 11, 11)):
        first, other = (
            instance.prepare_maps(one, (SIDE, SIDE), "bilinear") for one in (rounded(0.079), second)
        )
        batch = MapBatch(first, first[:, None], torch.zeros(len(first)), reference=other)
        assert instance.score(batch).isnan().all()


def test_the_last_bits_of_a_plateau_rank_nothing():
    above = torch.nextafter(torch.tensor(0.7), torch.tensor(1.0)).item()
    assert mean_ranks(torch.tensor([[0.7, above, 0.7, 0.2]])).tolist() == [[3, 3, 3, 1]]
    # 1000 and the next numbers above it, by which a range of 1 is no measure
    high = torch.tensor([[1000.0, 1000.0001, 1000.0, 999.0]])
    assert len(high.unique()) == 3
    assert top_membership(high, 2)[0].tolist() == pytest.approx([2 / 3, 2 / 3, 2 / 3, 0])
    inside = torch.tensor([[[True, False], [False, True]]])
    assert pointing_game(high.view(1, 2, 2), inside).item() == pytest.approx(1 / 3)


class LastBits(torch.nn.Module):
    """Says the same to every image but for the last bits."""

    def forward(self, images):
        steps = (images.flatten(1).sum(dim=1) * 1000).long() % 4
        logit = 7.123 * (1 + steps * torch.finfo(torch.float32).eps)
        return torch.stack([logit, -logit], dim=1)


def test_losses_that_are_rounding_correlate_with_nothing():
    images = torch.rand((12, 1, 6, 6), generator=torch.Generator().manual_seed(1))
    metric = FaithfulnessCorrelation(samples=10, subset_size=9)
    maps, targets = torch.rand(12, 6, 6), torch.zeros(12, dtype=torch.int64)
    assert LastBits()(images)[:, 0].unique().numel() > 1
    assert metric.score(MapBatch(maps, images, targets, None, LastBits())).isnan().all()
