"""Facts, resizing, and the registry."""

from typing import ClassVar

import pytest
import torch
from torch import Tensor, nn

from sparsight.explain.base import (
    Explainer,
    ImageBatch,
    build_explainers,
    channel_reduction,
    explain_batch,
    target_logits,
    to_image_size,
)
from sparsight.explain.registry import EXPLAINERS
from sparsight.io.errors import InputError, InvariantError

FACTS = [
    "name",
    "reference",
    "signed",
    "reduction",
    "value_range",
    "cost",
    "native",
    "interpolation",
    "needs_network",
    "parameters",
    "excluded_models",
]
FOREIGN = ["captum.Deconvolution", "grad_cam.XGradCAM"]


class Wrong(Explainer):
    name: ClassVar[str] = "wrong"

    def explain(self, batch: ImageBatch) -> Tensor:
        return batch.images


# `tests/linters` looks at those of the registry
@pytest.mark.parametrize("name", FOREIGN)
def test_facts_of_adapters_are_literals_equal_to_the_imported_ones(name: str) -> None:
    facts = EXPLAINERS.facts(name)
    loaded = EXPLAINERS.load(name)
    explainer_class = loaded.func
    assert {fact: facts[fact] for fact in FACTS} == {
        fact: getattr(explainer_class, fact) for fact in FACTS
    }
    assert facts["native"] in ("pixel", "layer")
    assert facts["interpolation"] in ("bilinear", "none")


def test_unknown_method_names_its_key_and_a_near_name() -> None:
    with pytest.raises(InputError, match=r"explainers\.a\.method: unknown explainer 'salience'"):
        build_explainers({"a": {"method": "salience"}})


def test_unknown_parameter_names_its_key() -> None:
    with pytest.raises(InputError, match=r"^explainers\.a: explainer saliency names the unknown"):
        build_explainers({"a": {"method": "saliency", "parameters": {"x": 1}}})


def test_an_explainer_that_gives_no_maps_is_named() -> None:
    images = torch.zeros(2, 1, 4, 4)
    ids = torch.zeros(2, dtype=torch.int64)
    with pytest.raises(InvariantError, match=r"'mine' gave torch.float32 \(2, 1, 4, 4\)"):
        explain_batch({"mine": Wrong()}, ImageBatch(nn.Identity(), images, ids, ids))


def test_bilinear_on_paper() -> None:
    # Pixel centres of the four columns lie at -1/4, 1/4, 3/4 and 5/4 of the two.
    resized = to_image_size(torch.tensor([[[0.0, 4.0]]]), (1, 4), "bilinear")
    assert resized.tolist() == [[[0.0, 1.0, 3.0, 4.0]]]


def test_equal_size_is_left_alone() -> None:
    maps = torch.rand(2, 5, 6)
    assert to_image_size(maps, (5, 6), "none") is maps
    assert to_image_size(maps, (5, 6), "bilinear") is maps


@pytest.mark.parametrize("interpolation", ["none", "cubic"])
def test_sizes_that_do_not_fit_are_refused(interpolation: str) -> None:
    with pytest.raises(InputError, match="interpolat"):
        to_image_size(torch.rand(2, 5, 6), (10, 12), interpolation)


def test_target_logits_are_those_of_the_targets() -> None:
    logits = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    assert target_logits(logits, torch.tensor([2, 0])).tolist() == [3.0, 4.0]
    with pytest.raises(InputError, match="targets from 0 to 3"):
        target_logits(logits, torch.tensor([3, 0]))
    with pytest.raises(InputError, match="targets from -1 to 0"):
        target_logits(logits, torch.tensor([-1, 0]))


def test_channel_reductions_on_paper() -> None:
    maps = torch.tensor([1.0, -4.0, 2.0]).view(1, 3, 1, 1)
    assert channel_reduction(maps, "max").item() == 2
    assert channel_reduction(maps, "sum").item() == -1
    assert channel_reduction(maps, "mean").item() == pytest.approx(-1 / 3)
    with pytest.raises(InputError, match="'median' is not one of"):
        channel_reduction(maps, "median")
