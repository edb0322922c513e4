"""Pixel ROC AUC on cases worked out on paper, and its invariances."""

from pathlib import Path

import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from sparsight.io.errors import InputError
from sparsight.metrics.base import MapBatch
from sparsight.metrics.localisation import PixelRocAuc, pixel_roc_auc
from sparsight.metrics.registry import METRICS


def auc(values, inside):
    return pixel_roc_auc(torch.tensor([[values]]), torch.tensor([[inside]]) > 0).item()


def test_on_paper():
    # Inside 5 and 2, outside 4, 1, 3: 5 beats all three, 2 beats one. 4 of 6 pairs.
    assert auc([5.0, 4.0, 2.0, 1.0, 3.0], [1, 0, 1, 0, 0]) == pytest.approx(4 / 6)
    # The same with negative values and another scale.
    assert auc([-1.0, -2.0, -4.0, -5.0, -3.0], [1, 0, 1, 0, 0]) == pytest.approx(4 / 6)
    assert auc([5e-30, 4e-30, 2e-30, 1e-30, 3e-30], [1, 0, 1, 0, 0]) == pytest.approx(4 / 6)


def test_tied_pairs_count_half():
    # Inside 5 and 3, outside 3, 3, 1: 5 beats three; 3 beats one and ties with two. 5 of 6 pairs.
    assert auc([5.0, 3.0, 3.0, 3.0, 1.0], [1, 1, 0, 0, 0]) == pytest.approx(5 / 6)
    # Rounding in a plateau (1e-7 of the range) breaks no tie, in neither direction ...
    for step in (4e-7, -4e-7):
        assert auc([5.0, 3.0 + step, 3.0, 3.0, 1.0], [1, 1, 0, 0, 0]) == pytest.approx(5 / 6)
    # ... and a difference that is one does: 3.0001 beats two more, 2.9999 none of them.
    assert auc([5.0, 3.0001, 3.0, 3.0, 1.0], [1, 1, 0, 0, 0]) == pytest.approx(6 / 6)
    assert auc([5.0, 2.9999, 3.0, 3.0, 1.0], [1, 1, 0, 0, 0]) == pytest.approx(4 / 6)


@pytest.mark.parametrize("value", [0.0, 0.7, -3.0])
@pytest.mark.parametrize("area", [1, 4, 8])
def test_a_constant_map_is_chance_whatever_the_area(value, area):
    assert auc([value] * 9, [1] * area + [0] * (9 - area)) == 0.5


def test_zeros_of_both_signs_are_tied():
    assert auc([0.0, -0.0, -0.0, 0.0], [1, 1, 0, 0]) == 0.5


def test_extremes_and_undefined():
    assert auc([3.0, 2.0, 1.0, 0.0], [1, 1, 0, 0]) == 1
    assert auc([3.0, 2.0, 1.0, 0.0], [0, 0, 1, 1]) == 0
    for values, inside in (
        ([3.0, 2.0], [0, 0]),
        ([3.0, 2.0], [1, 1]),
        ([3.0, torch.nan, 1.0], [1, 0, 0]),
        ([torch.nan] * 3, [1, 0, 0]),
    ):
        assert auc(values, inside) != auc(values, inside)


def test_large_maps_keep_their_digits():
    """Every second pixel of a ramp: inside pixel 2i + 1 beats i + 1 of the n/2 others."""
    count = 224 * 224
    values = torch.arange(count, dtype=torch.float32).view(1, 224, 224)
    inside = (torch.arange(count) % 2 == 1).view(1, 224, 224)
    expected = (count / 2 + 1) / count
    assert pixel_roc_auc(values, inside).item() == pytest.approx(expected, abs=1e-7)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), scale=st.floats(1e-3, 1e3), levels=st.integers(1, 6))
def test_is_the_count_of_pairs_and_invariant(seed, scale, levels):
    generator = torch.Generator().manual_seed(seed)
    maps = torch.randint(-levels, levels + 1, (5, 4, 6), generator=generator) / levels
    masks = torch.rand((5, 4, 6), generator=generator) > 0.6
    masks[:, 0, 0], masks[:, 0, 1] = True, False
    values = pixel_roc_auc(maps, masks)
    assert values.dtype == torch.float32
    for row in range(5):
        inside, outside = maps[row][masks[row]], maps[row][~masks[row]]
        pairs = (inside[:, None] - outside[None]).sign()
        torch.testing.assert_close(values[row], ((pairs + 1) / 2).mean(), atol=1e-6, rtol=0)
        alone = pixel_roc_auc(maps[[row]], masks[[row]])
        assert torch.equal(alone, values[[row]])
    order = torch.randperm(24, generator=generator)
    permuted = (part.flatten(1)[:, order].view(5, 6, 4) for part in (maps, masks))
    assert torch.equal(pixel_roc_auc(*permuted), values)
    torch.testing.assert_close(pixel_roc_auc(maps * scale + 3, masks), values)
    torch.testing.assert_close(pixel_roc_auc(-maps, masks), 1 - values)


def test_class():
    maps, masks = torch.rand(3, 4, 4), torch.rand(3, 4, 4) > 0.5
    images, targets = maps[:, None], torch.zeros(3, dtype=torch.int64)
    found = PixelRocAuc().score(MapBatch(maps, images, targets, masks))
    assert torch.equal(found, pixel_roc_auc(maps, masks))
    with pytest.raises(InputError, match="needs masks"):
        PixelRocAuc().score(MapBatch(maps, images, targets, None))


def test_absolute_as_spade_defines_it_and_positive():
    """Inside -4 and 0, outside 1, 2, 0: |4| beats three, |0| ties with one of three."""
    raw = torch.tensor([[[-4.0, 0.0, 1.0, 2.0, 0.0]]])
    inside = torch.tensor([[[True, True, False, False, False]]])
    targets = torch.zeros(1, dtype=torch.int64)

    def score(**parameters):
        metric = PixelRocAuc(**parameters)
        ready = metric.prepare_maps(raw, (1, 5), "none")
        return metric.score(MapBatch(ready, raw[:, None], targets, inside)).item()

    assert score() == score(treatment="absolute") == pytest.approx(3.5 / 6)
    # With -4 as 0, each of the two ties with one of three.
    assert score(treatment="positive") == pytest.approx(1 / 6)
    with pytest.raises(InputError, match="treatment"):
        PixelRocAuc(treatment="signed")


def test_the_catalogue_names_both_treatments():
    path = Path(__file__).parents[3] / "catalogue" / "metrics.yaml"
    entries = yaml.safe_load(path.read_text(encoding="utf-8"))["metrics"]
    treatments = {
        name: METRICS.load(entry["method"])(**entry.get("parameters", {})).treatment
        for name, entry in entries.items()
        if entry["method"] == "pixel_roc_auc"
    }
    assert treatments == {"pixel_roc_auc": "absolute", "pixel_roc_auc_positive": "positive"}
