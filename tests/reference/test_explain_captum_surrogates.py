"""LIME, KernelSHAP and layer-wise relevance propagation against captum's."""

import copy
from collections.abc import Iterator
from typing import Any

import captum.attr
import pytest
import torch
from captum._utils.models.linear_model import SkLearnRidge
from torch import Tensor, nn

from sparsight.explain.base import ImageBatch
from sparsight.explain.lrp import Lrp
from sparsight.explain.randomness import image_generator
from sparsight.explain.surrogates import CoalitionExplainer, KernelShap, Lime, superpixels
from sparsight.models.base import build_network
from sparsight.models.thesis_cnn import ThesisCnn

TARGETS = torch.tensor([3, 0, 9])
IDS = torch.tensor([12, 7, 3])


@pytest.fixture
def model() -> nn.Module:
    return build_network(ThesisCnn, 10, seed=3).eval().requires_grad_(False)


@pytest.fixture
def images() -> Tensor:
    return torch.rand(3, 1, 28, 28, generator=torch.Generator().manual_seed(4))


def coalitions(explainer: CoalitionExplainer, segments: Tensor, row: int) -> Tensor:
    """What our explainer asks for the image in `row`."""
    count = int(segments.max()) + 1
    return explainer.coalitions(count, image_generator(int(IDS[row]), "x"))


def replayed(rows: Tensor) -> Any:
    """captum's perturb_func that gives these coalitions, one after the other."""

    def perturb(*_: Any, **__: Any) -> Iterator[Tensor]:
        for row in rows:
            yield row.double().unsqueeze(0)

    return perturb


@pytest.mark.parametrize("baseline", [0.0, 0.4])
def test_lime_with_equal_perturbations(model: nn.Module, images: Tensor, baseline: float) -> None:
    explainer = Lime(segments=16, n_samples=60, baseline="grey", grey=baseline, ridge=0.5)
    found = explainer.explain(ImageBatch(model, images, TARGETS, IDS, "x"))
    segments = superpixels(images, 16)
    for row in range(3):
        asked = coalitions(explainer, segments[row], row)
        weights = iter(explainer.weights(asked))
        foreign = captum.attr.Lime(
            model,
            interpretable_model=SkLearnRidge(alpha=0.5),
            similarity_func=lambda *_, weights=weights, **__: next(weights),
            perturb_func=replayed(asked),
        )
        expected = foreign.attribute(
            images[row : row + 1],
            baselines=baseline,
            target=int(TARGETS[row]),
            feature_mask=segments[row : row + 1].unsqueeze(1),
            n_samples=len(asked),
        )
        torch.testing.assert_close(found[row], expected[0, 0].float(), atol=1e-4, rtol=1e-4)
    assert found.abs().max() > 0.1


@pytest.mark.parametrize("n_samples", [40, 62])
def test_kernel_shap_with_equal_perturbations(
    model: nn.Module, images: Tensor, n_samples: int
) -> None:
    """Sampled, and enumerated: captum meets efficiency by weights of 1e6 for the ends."""
    explainer = KernelShap(segments=6, n_samples=n_samples, baseline="grey")
    found = explainer.explain(ImageBatch(model, images, TARGETS, IDS, "x"))
    segments = superpixels(images, 6)
    for row in range(3):
        asked = coalitions(explainer, segments[row], row)
        foreign = captum.attr.KernelShap(model)
        foreign.perturb_func = replayed(asked)
        # captum weighs what it has drawn from the kernel by 1.
        if n_samples == 62:
            sizes = asked.sum(1).tolist()
            kernel = [1e6 if s in (0, 6) else 1 / (s * (6 - s)) for s in sizes]
            comb = [1, 6, 15, 20, 15, 6, 1]
            weights = iter(
                k if k == 1e6 else k / comb[s] for k, s in zip(kernel, sizes, strict=True)
            )
            foreign.similarity_func = lambda *_, weights=weights, **__: torch.tensor(next(weights))
        expected = foreign.attribute(
            images[row : row + 1],
            target=int(TARGETS[row]),
            feature_mask=segments[row : row + 1].unsqueeze(1),
            n_samples=len(asked),
        )
        torch.testing.assert_close(found[row], expected[0, 0].float(), atol=1e-4, rtol=1e-3)
    assert found.abs().max() > 0.1


def test_exact_kernel_shap_against_captums_shapley_values(model: nn.Module, images: Tensor) -> None:
    found = KernelShap(segments=4, n_samples=14, baseline="grey").explain(
        ImageBatch(model, images, TARGETS, IDS, "x")
    )
    expected = captum.attr.ShapleyValues(model).attribute(
        images, target=TARGETS, feature_mask=superpixels(images[:1], 4).unsqueeze(1)
    )
    torch.testing.assert_close(found, expected[:, 0], atol=1e-5, rtol=1e-4)


class FlattenedInForward(nn.Module):
    """The thesis network without the module `Flatten`, for which captum has no rule."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        layers = dict(model.named_children())
        self.classifier = layers.pop("classifier")
        layers.pop("flatten")
        self.features = nn.Sequential(*layers.values())

    def forward(self, images: Tensor) -> Tensor:
        return self.classifier(self.features(images).flatten(1))


@pytest.mark.filterwarnings("ignore:Input Tensor 0")
def test_epsilon_rule(model: nn.Module, images: Tensor) -> None:
    foreign = FlattenedInForward(copy.deepcopy(model))
    expected = captum.attr.LRP(foreign).attribute(images.clone(), target=TARGETS)
    found = Lrp(composite="epsilon", epsilon=1e-9).explain(
        ImageBatch(model, images, TARGETS, IDS, "x")
    )
    scale = float(expected.detach().abs().max())
    torch.testing.assert_close(found, expected.detach().sum(1), atol=1e-4 * scale, rtol=1e-3)
