"""The search for sparsities: its order, its choices, and its two criteria."""

import copy
from collections.abc import Mapping
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn

from sparsight.io.errors import InputError
from sparsight.metrics.base import MapBatch
from sparsight.metrics.localisation import PixelRocAuc, pixel_roc_auc
from sparsight.spade import search
from sparsight.spade.copies import pruned_copies
from sparsight.spade.layers import pruned_layers
from sparsight.spade.sample import (
    MEGABYTE,
    augmented_copies,
    bytes_of_image,
    bytes_of_weights,
    sample_hessians,
)
from sparsight.spade.search import (
    GRID,
    Criterion,
    GroundTruth,
    WithoutTruth,
    saliency,
    search_sparsities,
)

SETTINGS: dict[str, Any] = {"augmentations": 4, "batch_size": 8}


class Noting(Criterion):
    """Notes the density of every layer, and likes the sparsity that it is told."""

    name: ClassVar[str] = "noting"

    def __init__(self, wanted: Mapping[str, float]) -> None:
        self.wanted = wanted
        self.seen: list[tuple[int, dict[str, float]]] = []

    def measure(self, copy: nn.Module, place: int) -> dict[str, float]:
        density = {
            name: round(float((copy.get_parameter(f"{name}.weight") != 0).double().mean()), 2)
            for name in self.wanted
        }
        self.seen.append((place, density))
        far = sum(abs(1 - density[name] - value) for name, value in self.wanted.items())
        return {"far": far + place}

    def better(self, found: Mapping[str, float], best: Mapping[str, float]) -> bool:
        return found["far"] < best["far"]


def test_layers_are_tried_one_after_the_other_from_the_classifier(
    thesis: nn.Module, diagonal: Any, pictures: Any
) -> None:
    images, ids = pictures(2, 1, 28)
    criterion = Noting({"conv2": 0.5, "classifier": 0.9})
    grid = [0.9, 0.5]
    found, trace = search_sparsities(
        thesis, images, ids, diagonal, criterion, SETTINGS, "name", grid
    )
    assert found == {"conv2": 0.5, "classifier": 0.9}
    # the classifier while conv2 is dense, then conv2 beside what was chosen
    tried = [(1, 1), (1, 0.5), (1, 0.1), (1, 0.1), (0.5, 0.1), (0.1, 0.1)]
    wanted = [
        (place, {"conv2": first, "classifier": last}) for first, last in tried for place in range(2)
    ]
    assert criterion.seen == [
        (place, pytest.approx(density, abs=0.011)) for place, density in wanted
    ]
    assert [(row["layer"], row["sparsity"], row["chosen"]) for row in trace] == [
        ("classifier", 0.0, False),
        ("classifier", 0.5, False),
        ("classifier", 0.9, True),
        ("conv2", 0.0, False),
        ("conv2", 0.5, True),
        ("conv2", 0.9, False),
    ]
    # mean over both images: half of places 0 and 1
    assert trace[4]["measure"] == "far"
    assert trace[4]["value"] == pytest.approx(0.5, abs=0.01)


def test_copies_are_those_of_pruned_copies(thesis: nn.Module, diagonal: Any, pictures: Any) -> None:
    """What is measured last is what the sparsities found give afterwards."""
    images, ids = pictures(2, 1, 28)

    class Keeping(Noting):
        def measure(self, copy: nn.Module, place: int) -> dict[str, float]:
            states.append({name: value.clone() for name, value in copy.state_dict().items()})
            return super().measure(copy, place)

    states: list[dict[str, Tensor]] = []
    criterion = Keeping({"conv2": 0.9, "classifier": 0.5})
    found, _ = search_sparsities(
        thesis, images, ids, diagonal, criterion, SETTINGS, "name", [0.5, 0.9]
    )
    assert found == {"conv2": 0.9, "classifier": 0.5}
    copies = pruned_copies(thesis, images, ids, diagonal, found, SETTINGS, "name")
    for (_, copied), state in zip(copies, states[-2:], strict=True):
        for name, value in copied.state_dict().items():
            assert torch.equal(value, state[name]), name


def test_hessians_are_made_once_or_where_memory_is_short_for_a_layer_and_some_images(
    thesis: nn.Module, diagonal: Any, pictures: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    images, ids = pictures(2, 1, 28)
    made: list[tuple[Any, ...]] = []

    def noted(
        network: nn.Module, images: Tensor, image_ids: Tensor, layers: Any, *rest: Any
    ) -> Any:
        made.append((len(images), *(layer.name for layer in layers)))
        assert torch.equal(network.classifier.weight, thesis.classifier.weight)
        return sample_hessians(network, images, image_ids, layers, 4, "name")

    monkeypatch.setattr(search, "sample_hessians", noted)
    # single bytes, since the network is small
    monkeypatch.setattr(search, "MEGABYTE", 1)
    criterion = Noting({"conv2": 0.5, "classifier": 0.9})

    def run(memory: int) -> Any:
        settings = {**SETTINGS, "memory_mb": memory}
        return search_sparsities(
            thesis, images, ids, diagonal, criterion, settings, "name", [0.5, 0.9]
        )

    layers = pruned_layers(thesis, images)
    units = {layer.name: [layer] for layer in layers}
    # what was chosen, and a layer at three sparsities, of two images
    held = {
        name: 2 * (bytes_of_weights(layers) + 3 * bytes_of_weights(own))
        for name, own in units.items()
    }
    enough = max(held.values()) + 2 * bytes_of_image(layers)
    wanted = run(enough)
    assert made == [(2, "classifier", "conv2")]
    made.clear()
    assert run(enough - 1) == wanted
    assert made == [(2, "classifier"), (2, "conv2")]
    made.clear()
    needed = {name: held[name] + bytes_of_image(own) for name, own in units.items()}
    least = max(needed, key=needed.__getitem__)
    assert run(needed[least]) == wanted
    # one image after the other in the larger layer
    assert [found for found in made if found[1] == least] == [(1, least)] * 2
    with pytest.raises(InputError, match=f"the search in '{least}' with 2 images takes"):
        run(needed[least] - 1)
    assert MEGABYTE == 10**6


def test_the_network_is_not_touched(thesis: nn.Module, diagonal: Any, pictures: Any) -> None:
    images, ids = pictures(1, 1, 28)
    before = copy.deepcopy(thesis.state_dict())
    criterion = WithoutTruth(thesis, images, ids, "name", count=3)
    search_sparsities(thesis, images, ids, diagonal, criterion, SETTINGS, "name")
    assert all(torch.equal(value, before[name]) for name, value in thesis.state_dict().items())
    assert thesis.training
    assert all(parameter.requires_grad for parameter in thesis.parameters())


def test_the_largest_sparsity_that_keeps_what_the_network_does(
    thesis: nn.Module, diagonal: Any, pictures: Any
) -> None:
    images, ids = pictures(3, 1, 28)
    criterion = WithoutTruth(thesis, images, ids, "name", 0.95, 0.9, count=8)
    found, trace = search_sparsities(thesis, images, ids, diagonal, criterion, SETTINGS, "name")
    assert {row["sparsity"] for row in trace} == set(GRID)
    for unit, sparsity in found.items():
        rows = [row for row in trace if row["layer"] == unit]
        kept = {
            row["sparsity"]
            for row in rows
            if all(
                each["value"] >= (0.95 if each["measure"] == "kept_prediction" else 0.9)
                for each in rows
                if each["sparsity"] == row["sparsity"]
            )
        }
        assert sparsity == max(kept)
        assert 0 in kept
    first = [row["value"] for row in trace if row["sparsity"] == 0][:2]
    assert first == pytest.approx([1.0, 1.0])
    # and with nothing to keep, the sparsest of all
    free = WithoutTruth(thesis, images, ids, "name", 0.0, 0.0, count=2)
    found, _ = search_sparsities(thesis, images, ids, diagonal, free, SETTINGS, "name")
    assert set(found.values()) == {0.99}


def test_measures_without_truth(thesis: nn.Module, pictures: Any) -> None:
    images, ids = pictures(2, 1, 28)
    criterion = WithoutTruth(thesis, images, ids, "name", count=6, batch_size=4)
    assert criterion.measure(thesis, 1) == {
        "kept_prediction": 1.0,
        "kept_probability": pytest.approx(1.0),
    }
    copied = copy.deepcopy(thesis)
    with torch.no_grad():
        copied.classifier.weight.zero_()
        copied.classifier.bias.zero_()
        # of augmentations that the Hessians, seeded by the name alone, have not seen
        views = augmented_copies(images[1:], 6, ids[1:], "name:held_out")[0]
        dense = thesis(views).softmax(1)
    found = criterion.measure(copied, 1)
    # a copy that knows nothing gives a tenth to each class, and the first of equals is 0
    assert found["kept_probability"] == pytest.approx(0.1 / float(dense.amax(1).mean()), rel=1e-5)
    assert found["kept_prediction"] == pytest.approx(float((dense.argmax(1) == 0).float().mean()))
    with torch.no_grad():
        copied.load_state_dict(thesis.state_dict())
        copied.classifier.weight.mul_(3)
    assert criterion.measure(copied, 1)["kept_probability"] == 1.0


def test_both_measures_must_be_reached(thesis: nn.Module, pictures: Any) -> None:
    images, ids = pictures(1, 1, 28)
    criterion = WithoutTruth(thesis, images, ids, "name", count=1)
    kept = {"kept_prediction": 0.95, "kept_probability": 0.9}
    assert criterion.better(kept, kept)
    assert not criterion.better({**kept, "kept_prediction": 0.94}, kept)
    assert not criterion.better({**kept, "kept_probability": 0.89}, kept)


def test_the_ground_truth(thesis: nn.Module, pictures: Any) -> None:
    images, ids = pictures(2, 1, 28)
    targets = torch.tensor([4, 7])
    masks = torch.zeros(2, 28, 28, dtype=torch.bool)
    masks[:, 3:9, 10:20] = True
    criterion = GroundTruth(images, targets, masks)
    inputs = images[1:].clone().requires_grad_()
    (gradient,) = torch.autograd.grad(thesis.eval()(inputs)[0, 7], inputs)
    assert torch.allclose(saliency(thesis, images[1:], targets[1:]), gradient.abs().amax(1))
    wanted = float(pixel_roc_auc(gradient.abs().amax(1), masks[1:]))
    assert criterion.measure(thesis, 1) == {"pixel_roc_auc": pytest.approx(wanted, abs=1e-6)}
    told = GroundTruth(images, targets, masks, lambda _, images, __: masks[:1].float())
    assert told.measure(thesis, 0) == {"pixel_roc_auc": 1.0}
    assert told.better({"pixel_roc_auc": 0.6}, {"pixel_roc_auc": 0.5})
    assert not told.better({"pixel_roc_auc": 0.5}, {"pixel_roc_auc": 0.5})
    masks[0] = False
    with pytest.raises(InputError, match="neither empty nor the whole image"):
        GroundTruth(images, targets, masks)
    assert len(ids) == 2


def test_search_and_table_treat_signed_maps_alike(thesis: nn.Module, pictures: Any) -> None:
    images, _ = pictures(2, 1, 28)
    masks = torch.zeros(2, 28, 28, dtype=torch.bool)
    masks[:, 3:9, 10:20] = True
    maps = torch.randn(1, 28, 28, generator=torch.Generator().manual_seed(0))
    maps[:, 3:9, 10:20] -= 2
    criterion = GroundTruth(images, torch.tensor([4, 7]), masks, lambda *_: maps)
    metric = PixelRocAuc()
    ready = metric.prepare_maps(maps, (28, 28), "bilinear")
    table = metric.score(MapBatch(ready, images[:1], torch.tensor([4]), masks[:1])).item()
    # All that speaks against the class lies in the mask.
    assert table > 0.8
    assert criterion.measure(thesis, 0) == {"pixel_roc_auc": table}


def test_the_ground_truth_chooses_the_largest_mean(
    thesis: nn.Module, diagonal: Any, pictures: Any
) -> None:
    images, ids = pictures(3, 1, 28)
    masks = torch.zeros(3, 28, 28, dtype=torch.bool)
    masks[:, 3:9, 10:20] = True
    criterion = GroundTruth(images, torch.tensor([4, 7, 1]), masks)
    found, trace = search_sparsities(thesis, images, ids, diagonal, criterion, SETTINGS, "name")
    for unit, sparsity in found.items():
        values = {row["sparsity"]: row["value"] for row in trace if row["layer"] == unit}
        assert values[sparsity] == max(values.values())
        assert sparsity == min(each for each in values if values[each] == values[sparsity])


def test_what_cannot_be_used(thesis: nn.Module, diagonal: Any, pictures: Any) -> None:
    images, ids = pictures(1, 1, 28)
    criterion = Noting({"conv2": 0.5})
    with pytest.raises(InputError, match=r"grid: a sparsity is 1\.0"):
        search_sparsities(thesis, images, ids, diagonal, criterion, SETTINGS, "name", [0.5, 1.0])
    with pytest.raises(InputError, match="as many image ids as images"):
        search_sparsities(thesis, images[:0], ids[:0], diagonal, criterion, SETTINGS, "name")
