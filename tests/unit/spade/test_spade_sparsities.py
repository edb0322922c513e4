"""Sparsities: published tables, patterns, and exact numbers of zeros."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparsight.io.errors import InputError
from sparsight.spade.layers import (
    PrunedLayer,
    by_stage,
    group_counts,
    layer_sparsities,
    share_out,
    zeros_asked,
)


def layers_of(names: list[str]) -> list[PrunedLayer]:
    return [PrunedLayer(name, 1, 2, 2, 1) for name in names]


def resnet(blocks: tuple[int, ...], convolutions: int) -> list[PrunedLayer]:
    names = []
    for stage, count in enumerate(blocks, start=1):
        for block in range(count):
            names += [f"layer{stage}.{block}.conv{each + 1}" for each in range(convolutions)]
        names.append(f"layer{stage}.0.downsample.0")
    return layers_of([*names, "fc"])


RESNET50 = resnet((3, 4, 6, 3), 3)


def test_the_published_table() -> None:
    found = layer_sparsities(RESNET50, {"preset": "published_resnet50"})
    assert list(found) == [layer.name for layer in RESNET50]
    wanted = {
        "fc": 0.95,
        "layer4.2.conv3": 0.95,
        "layer4.0.downsample.0": 0.95,
        "layer3.5.conv1": 0.0,
        "layer3.4.conv1": 0.0,
        "layer3.3.conv1": 0.8,
        "layer3.2.conv1": 0.9,
        "layer3.1.conv1": 0.8,
        "layer3.0.conv1": 0.8,
        "layer2.3.conv2": 0.95,
        "layer2.2.conv2": 0.99,
        "layer2.1.conv2": 0.0,
        "layer2.0.conv2": 0.2,
        "layer1.2.conv2": 0.0,
        "layer1.1.conv2": 0.8,
        "layer1.0.conv2": 0.2,
    }
    assert {name: found[name] for name in wanted} == wanted


def test_the_published_table_of_feature_visualisation() -> None:
    found = layer_sparsities(RESNET50, {"preset": "published_feature_visualisation"})
    pruned = {name.rsplit(".conv", 1)[0] for name, value in found.items() if value == 0.95}
    assert pruned == {
        "fc",
        "layer4.0",
        "layer4.1",
        "layer4.2",
        "layer4.0.downsample.0",
        "layer3.4",
        "layer3.5",
    }
    assert set(found.values()) == {0.0, 0.95}


def test_by_stage_is_the_published_table_for_resnet50_and_its_ends_for_resnet18() -> None:
    published = layer_sparsities(RESNET50, {"preset": "published_resnet50"})
    assert layer_sparsities(RESNET50, {"preset": "published_by_stage"}) == published
    assert by_stage(resnet((2, 2, 2, 2), 2)) == {
        "layer1.0": 0.2,
        "layer1.1": 0.0,
        "layer2.0": 0.2,
        "layer2.1": 0.95,
        "layer3.0": 0.8,
        "layer3.1": 0.0,
        "layer4.0": 0.95,
        "layer4.1": 0.95,
        "fc": 0.95,
    }
    # one block alone is a last one; three of six published: 0, 2.5 and 5, half rounded up
    found = by_stage(resnet((1, 3, 3, 1), 2))
    assert found["layer1.0"] == 0.0
    assert [found[f"layer3.{block}"] for block in range(3)] == [0.8, 0.8, 0.0]
    assert [found[f"layer2.{block}"] for block in range(3)] == [0.2, 0.99, 0.95]


def test_the_longest_pattern_holds_whatever_the_order() -> None:
    layers = layers_of(["layer1.0.conv1", "layer1.0.conv2", "layer1.1.conv1", "fc"])
    patterns = {"layer1": 0.5, "layer1.0": 0.6, "layer1.0.conv2": 0.7}
    wanted = {"layer1.0.conv1": 0.6, "layer1.0.conv2": 0.7, "layer1.1.conv1": 0.5, "fc": 0.0}
    assert layer_sparsities(layers, {"layers": patterns}) == wanted
    assert layer_sparsities(layers, {"layers": dict(reversed(patterns.items()))}) == wanted
    assert layer_sparsities(layers, {"layers": {"*.conv1": 0.3}})["layer1.1.conv1"] == 0.3
    assert set(layer_sparsities(layers, {"constant": 0.9}).values()) == {0.9}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "has the keys none"),
        ({"constant": 0.5, "preset": "published_resnet50"}, "exactly one of"),
        ({"constant": 0.5, "other": 1}, "has the keys constant, other"),
        ({"preset": "published_resnet5"}, "did you mean 'published_resnet50'"),
        ({"preset": "published_resnet50"}, "'layer1.2' names no pruned layer"),
        ({"constant": 1.0}, "'\\*' is 1.0; it must be a number from 0 to below 1"),
        ({"layers": {"fc": -0.1}}, "'fc' is -0.1"),
        ({"layers": {"fc": True}}, "'fc' is True"),
        ({"layers": {"fx": 0.5}}, "'fx' names no pruned layer.*known: "),
        ({"layers": {"*c": 0.5, "f*": 0.6}}, "'\\*c' and 'f\\*' disagree on layer 'fc'"),
    ],
)
def test_settings_that_cannot_be_used(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        layer_sparsities(resnet((2, 2, 2, 2), 2), settings)


def test_networks_without_stages_have_no_published_sparsities() -> None:
    with pytest.raises(InputError, match="no block in a stage 'layer1'"):
        layer_sparsities(layers_of(["conv2", "classifier"]), {"preset": "published_by_stage"})


def test_zeros_are_counted_exactly() -> None:
    # 0.29 * 100 is 28.999999999999996 in binary
    assert zeros_asked(0.29, 100) == 29
    assert zeros_asked(0.99, 199) == 197
    assert zeros_asked(0, 100) == 0
    layer = PrunedLayer("here", 3, 2, 5, 1)
    # 15.9 -> 15 of 30; 16 over three groups: the first gets the one that is left
    assert group_counts(0.5, layer, [0, 0, 0]) == [5, 5, 5]
    assert group_counts(0.55, layer, [0, 0, 0]) == [6, 5, 5]


def test_zeros_of_an_earlier_pruning_count() -> None:
    layer = PrunedLayer("here", 2, 2, 5, 1)
    # 14 asked, 8 are there: 6 more, of 2 and 10 weights left one and five
    assert group_counts(0.7, layer, [8, 0]) == [9, 5]
    assert group_counts(0.4, layer, [8, 0]) == [8, 0]
    assert group_counts(0.2, layer, [8, 0]) == [8, 0]
    assert group_counts(0.9, layer, [10, 0]) == [10, 8]


@given(st.lists(st.integers(0, 50), min_size=1, max_size=8), st.data())
def test_shares_are_whole_and_exact(sizes: list[int], data: st.DataObject) -> None:
    total = data.draw(st.integers(0, sum(sizes)))
    shares = share_out(total, sizes)
    assert sum(shares) == total
    for share, size in zip(shares, sizes, strict=True):
        assert 0 <= share <= size
        assert abs(share - total * size / max(sum(sizes), 1)) < 1
