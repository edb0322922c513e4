"""Metrics of agreement: values worked out on paper, what is undefined, what does not matter."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sparsight.io.errors import InputError
from sparsight.metrics.agreement import (
    Spearman,
    Ssim,
    TopKIou,
    mean_ranks,
    spearman,
    ssim,
    top_k_iou,
    top_membership,
)
from sparsight.metrics.base import MapBatch, shows_nothing
from sparsight.metrics.registry import AGREEMENT

ALL = [Spearman, TopKIou, Ssim]


def compare(metric, first, second):
    batch = MapBatch(first, first[:, None], torch.zeros(len(first)), reference=second)
    return metric.score(batch)


def maps(*rows):
    """Each row of numbers as one map of a single line of places."""
    return torch.tensor(rows, dtype=torch.float32).unsqueeze(1)


def random_maps(count, side, seed=0, zeros=0.0):
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn((count, side, side), generator=generator)
    dark = torch.rand((count, side, side), generator=generator) < zeros
    return values.masked_fill(dark, 0.0)


def test_ranks_of_ties_are_their_mean():
    ranks = mean_ranks(torch.tensor([[0.0, 5.0, 0.0, 2.0, 0.0], [3.0, 3.0, 3.0, 3.0, 3.0]]))
    assert ranks.tolist() == [[2, 5, 2, 4, 2], [3, 3, 3, 3, 3]]
    assert ranks.dtype == torch.float64


def test_minus_zero_is_zero():
    assert mean_ranks(torch.tensor([[-0.0, 0.0, 1.0]])).tolist() == [[1.5, 1.5, 3]]


def test_spearman_on_paper():
    """Without ties 1 - 6 Σd² / (n (n² - 1)): here d = (0, 1, 1, 0), so 1 - 12/60."""
    assert spearman(maps([1, 2, 3, 4]), maps([10, 30, 20, 40])).item() == pytest.approx(0.8)
    # ranks (1.5 1.5 3 4) - 2.5 and (1 2 3 4) - 2.5: r = 4.5 / sqrt(4.5 × 5)
    value = spearman(maps([0, 0, 1, 2]), maps([1, 2, 3, 4])).item()
    assert value == pytest.approx(4.5 / (4.5 * 5) ** 0.5)


def test_equal_maps_agree_fully_and_reversed_ranks_not_at_all():
    first = random_maps(5, 9)
    assert spearman(first, first).tolist() == pytest.approx([1] * 5)
    assert spearman(first, -first).tolist() == pytest.approx([-1] * 5)
    assert top_k_iou(first, first, 0.1).tolist() == [1] * 5
    assert top_k_iou(first, -first, 0.1).tolist() == [0] * 5
    low, high = first.amin((1, 2), keepdim=True), first.amax((1, 2), keepdim=True)
    scaled = (first - low) / (high - low)
    assert ssim(scaled, scaled).tolist() == pytest.approx([1] * 5)
    assert (ssim(scaled, 1 - scaled) < 0).all()


def test_top_k_on_paper():
    """Ten places, k = 3: {0, 1, 2} and {1, 2, 3} share two of four."""
    first = maps([9, 8, 7, 1, 2, 3, 1, 2, 3, 0])
    second = maps([1, 8, 7, 9, 2, 3, 1, 2, 3, 0])
    assert top_k_iou(first, second, 0.3).item() == pytest.approx(2 / 4)
    # share 0.04 of ten places is none; at least one counts
    assert top_k_iou(first, second, 0.04).item() == 0
    # 0.25 of ten places: halves go up, to three
    assert top_k_iou(first, second, 0.25).item() == pytest.approx(2 / 4)


def test_ties_share_the_places_that_are_left():
    """9 is in; two of the three 5s have a place: each belongs by 1/2 (k = 2) or 1 (k = 4)."""
    values = torch.tensor([[9.0, 5.0, 5.0, 5.0, 1.0, 0.0]])
    assert top_membership(values, 2)[0].tolist() == pytest.approx([1, 1 / 3, 1 / 3, 1 / 3, 0, 0])
    assert top_membership(values, 4)[0].tolist() == [1, 1, 1, 1, 0, 0]
    # against a map whose two highest are the first two: Σ min = 1 + 1/3, Σ max = 1 + 1 + 2/3
    other = maps([9, 8, 1, 1, 1, 0])
    assert top_k_iou(values.unsqueeze(1), other, 2 / 6).item() == pytest.approx((4 / 3) / (8 / 3))


def test_empty_places_fill_no_set():
    """Two maps that each light up another place do not agree about the rest, which is empty."""
    first, second = maps([1] + [0] * 9), maps([0, 1] + [0] * 8)
    assert top_membership(first[:, 0], 5)[0].tolist() == [1] + [0] * 9
    assert top_k_iou(first, second, 0.5).item() == 0
    assert top_k_iou(first, first, 0.5).item() == 1


def test_rounding_decides_no_order():
    plateau = torch.tensor([[1.0, 1.0 + 1e-7, 1.0, 0.0]])
    assert top_membership(plateau, 2)[0].tolist() == pytest.approx([2 / 3, 2 / 3, 2 / 3, 0])


def test_two_random_maps_agree_at_chance():
    values = top_k_iou(random_maps(400, 20, 1), random_maps(400, 20, 2), 0.1)
    assert values.mean().item() == pytest.approx(0.1 / 1.9, abs=0.005)


def test_ssim_on_paper():
    """One window of 7 × 7. Halves 0 and 1 against their mirror image, 21 ones in 49 places each.

    μ = 21/49; σ² = 49/48 (μ - μ²); the ones do not meet, so σ₁₂ = -49/48 μ².
    """
    first = torch.zeros((1, 7, 7))
    first[:, :, :3] = 1
    mean = 21 / 49
    variance, covariance = 49 / 48 * (mean - mean**2), -49 / 48 * mean**2
    expected = (2 * mean**2 + 1e-4) * (2 * covariance + 9e-4)
    expected /= (2 * mean**2 + 1e-4) * (2 * variance + 9e-4)
    assert ssim(first, first.flip(2)).item() == pytest.approx(expected, rel=1e-6)


def test_ssim_refuses_images_smaller_than_a_window():
    with pytest.raises(InputError, match="at least 7 x 7 pixels, not 6 x 9"):
        ssim(torch.rand(2, 6, 9), torch.rand(2, 6, 9))


@pytest.mark.parametrize("metric", ALL)
@pytest.mark.parametrize("which", [0, 1])
def test_a_map_that_shows_nothing_leaves_agreement_undefined(metric, which):
    instance = metric()
    pair = [random_maps(4, 8, 1), random_maps(4, 8, 2)]
    pair[which][0] = 0.0
    pair[which][1] = 0.7
    pair[which][2, 3, 3] = torch.inf
    first, second = (instance.prepare_maps(raw, (8, 8), "none") for raw in pair)
    values = compare(instance, first, second)
    assert values.isnan().tolist() == [True, True, True, False]
    assert values.dtype == torch.float32


@pytest.mark.parametrize("metric", ALL)
def test_symmetric_and_independent_of_the_batch(metric):
    instance = metric()
    raw = random_maps(6, 9, 3, zeros=0.7), random_maps(6, 9, 4, zeros=0.7)
    first, second = (instance.prepare_maps(one, (14, 14), "bilinear") for one in raw)
    values = compare(instance, first, second)
    assert torch.equal(values, compare(instance, second, first))
    single = [
        compare(instance, a[None], b[None]).item() for a, b in zip(first, second, strict=True)
    ]
    assert values.tolist() == pytest.approx(single, abs=1e-6)
    assert len(compare(instance, first[:0], second[:0])) == 0


@settings(max_examples=30, deadline=None)
@given(st.floats(0.01, 100), st.floats(-5, 5), st.integers(0, 10**6))
def test_scale_and_offset_of_a_map_do_not_matter(scale, offset, seed):
    raw, other = random_maps(2, 8, seed), random_maps(2, 8, seed + 1)
    for metric in (Spearman(), TopKIou(treatment="signed"), Ssim()):
        first, moved, second = (
            metric.prepare_maps(one, (8, 8), "none") for one in (raw, raw * scale + offset, other)
        )
        expected = compare(metric, first, second).tolist()
        # An offset takes digits away: values that rounding cannot tell apart share their rank.
        assert compare(metric, moved, second).tolist() == pytest.approx(expected, abs=5e-3)


def test_resolutions_and_treatments():
    raw = random_maps(2, 5)
    assert Spearman().prepare_maps(raw, (20, 20), "bilinear").shape == (2, 5, 5)
    assert TopKIou().prepare_maps(raw, (20, 20), "bilinear").shape == (2, 5, 5)
    assert Ssim().prepare_maps(raw, (20, 20), "bilinear").shape == (2, 20, 20)
    assert torch.equal(TopKIou().prepare_maps(raw, (5, 5), "none"), raw.abs())
    assert torch.equal(Spearman().prepare_maps(raw, (5, 5), "none"), raw)
    absolute = Spearman(treatment="absolute")
    assert absolute.treatment == "absolute"
    assert torch.equal(absolute.prepare_maps(raw, (5, 5), "none"), raw.abs())
    scaled = Ssim().prepare_maps(raw, (5, 5), "none")
    assert scaled.amin((1, 2)).tolist() == [0, 0]
    assert scaled.amax((1, 2)).tolist() == [1, 1]


def test_parameters_that_cannot_be_used():
    with pytest.raises(InputError, match="treatment is 'abs'"):
        Ssim(treatment="abs")
    with pytest.raises(InputError, match="unknown parameter 'k'"):
        TopKIou(k=3)
    for share in (0.0, 1.5):
        with pytest.raises(InputError, match=f"share is {share}"):
            TopKIou(share=share)


def test_shows_nothing():
    values = torch.zeros((3, 2, 2))
    values[1, 0, 0] = torch.nan
    values[2, 0, 0] = 1e-30
    assert shows_nothing(values).tolist() == [True, True, False]


def test_facts_go_together():
    # `tests/linters` checks each alone
    for name in AGREEMENT.entries:
        facts = AGREEMENT.facts(name)
        assert (facts["category"], facts["direction"]) == ("agreement", "higher"), name
        assert facts["parameters"]["treatment"] == facts["treatment"], name
