"""What the library takes where nothing is given is what the configuration's models say."""

import inspect

from sparsight.spade.copies import DEFAULTS
from sparsight.spade.layers import PrunedLayer
from sparsight.spade.sample import MEGABYTE, images_at_once
from sparsight.spade.search import GRID, WithoutTruth
from sparsight.study.models import SamplePruner, Search, Sparsities


def test_how_a_sample_is_made() -> None:
    pruner = SamplePruner(solver="obs_fast", sparsities=Sparsities(constant=0.5)).model_dump()
    assert {name: pruner[name] for name in DEFAULTS} == DEFAULTS


def test_the_search() -> None:
    search = Search()
    assert search.grid == list(GRID)
    assert search.criterion == WithoutTruth.name
    taken = inspect.signature(WithoutTruth).parameters
    for name in ("keep_prediction", "keep_probability"):
        assert getattr(search, name) == taken[name].default


def test_the_default_memory_is_enough_for_resnet50() -> None:
    """Its layers by columns and outputs; the classifier of ImageNet's thousand classes."""
    layers, inputs = [], 64
    for stage, blocks in enumerate((3, 4, 6, 3)):
        width = 64 * 2**stage
        for block in range(blocks):
            shapes = [(inputs, width), (9 * width, width), (width, 4 * width)]
            shapes += [(inputs, 4 * width)] if block == 0 else []
            layers += [PrunedLayer(f"{stage}", 1, rows, columns, 1) for columns, rows in shapes]
            inputs = 4 * width
    layers.append(PrunedLayer("fc", 1, 1000, inputs, 1))
    assert images_at_once(layers, DEFAULTS["memory_mb"] * MEGABYTE) == 1
