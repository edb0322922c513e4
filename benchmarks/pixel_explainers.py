"""Pairs of our explainers of pixels and those of captum and zennit."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from cases import BATCH, CLASSES, Case, Maps, Pair, close, own
from torch import Tensor

from sparsight.explain.base import ImageBatch
from sparsight.explain.network import frozen
from sparsight.explain.randomness import image_generator
from sparsight.explain.surrogates import CoalitionExplainer, KernelShap, Lime, superpixels
from sparsight.models.base import Normalise, build_network
from sparsight.models.resnet import ResNet18

WINDOW, STRIDE = 16, 12
SEGMENTS, SAMPLES = 16, 32


def captum_pairs(case: Case) -> Iterator[Pair]:
    """Methods that captum has too. Integrated gradients are captum's own, so they have no row."""
    import captum.attr

    network, images, targets = case.network, case.images, case.targets

    def pair(method: str, title: str, attribute: Callable[[], Tensor], **parameters: Any) -> Pair:
        def theirs() -> Maps:
            with frozen(network):
                return {method: attribute().detach().sum(dim=1)}

        check = close(1e-6, 1e-4)
        return Pair(title, own(case, **{method: parameters}), theirs, "captum", check)

    def gradients(name: str) -> Callable[[], Tensor]:
        return lambda: getattr(captum.attr, name)(network).attribute(
            images.clone().requires_grad_(), target=targets
        )

    yield pair("guided_backprop", "guided_backprop", gradients("GuidedBackprop"))
    yield pair("deep_lift", "deep_lift", gradients("DeepLift"))
    yield pair(
        "occlusion",
        f"occlusion, window {WINDOW}, stride {STRIDE}",
        lambda: (
            captum.attr.Occlusion(network)
            .attribute(
                images,
                target=targets,
                sliding_window_shapes=(3, WINDOW, WINDOW),
                strides=(3, STRIDE, STRIDE),
                baselines=0.0,
            )
            .mean(dim=1, keepdim=True)
        ),
        window=WINDOW,
        stride=STRIDE,
    )
    yield surrogate_pair(case, Lime(**surrogate_parameters(), ridge=0.5), captum.attr)
    yield surrogate_pair(case, KernelShap(**surrogate_parameters()), captum.attr)


def surrogate_parameters() -> dict[str, Any]:
    """Of LIME and of KernelSHAP; superpixels that are off are black, captum's default."""
    return {"segments": SEGMENTS, "n_samples": SAMPLES, "baseline": "grey", "grey": 0.0}


def surrogate_pair(case: Case, explainer: CoalitionExplainer, library: Any) -> Pair:
    """captum with our coalitions, image by image, as many of them in a pass as a batch has images.

    Both find the superpixels within their time.
    """
    from captum._utils.models.linear_model import SkLearnRidge

    name, network, images, targets = explainer.name, case.network, case.images, case.targets
    counts = (superpixels(images, SEGMENTS).amax(dim=(1, 2)) + 1).tolist()
    asked = [
        explainer.coalitions(count, image_generator(row, name)) for row, count in enumerate(counts)
    ]

    def one(row: int, segments: Tensor) -> Tensor:
        if isinstance(explainer, Lime):
            weights = iter(explainer.weights(asked[row]))
            foreign = library.Lime(
                network,
                interpretable_model=SkLearnRidge(alpha=explainer.settings["ridge"]),
                similarity_func=lambda *_, **__: next(weights),
                perturb_func=replayed(asked[row]),
            )
        else:
            foreign = library.KernelShap(network)
            foreign.perturb_func = replayed(asked[row])
        return foreign.attribute(
            images[row : row + 1],
            target=int(targets[row]),
            feature_mask=segments[row].expand(1, 3, -1, -1),
            n_samples=len(asked[row]),
            perturbations_per_eval=BATCH,
        )[0, 0].float()

    def theirs() -> Maps:
        with frozen(network):
            segments = superpixels(images, SEGMENTS)
            return {name: torch.stack([one(row, segments) for row in range(BATCH)])}

    def ours() -> Maps:
        with frozen(network):
            return {
                name: explainer.explain(
                    ImageBatch(network, images, targets, torch.arange(BATCH), name)
                )
            }

    rtol = 1e-4 if isinstance(explainer, Lime) else 1e-3
    title = f"{name}, {SAMPLES} samples of about {SEGMENTS} superpixels"
    return Pair(title, ours, theirs, "captum (image by image)", close(1e-4, rtol))


def replayed(coalitions: Tensor) -> Callable[..., Iterator[Tensor]]:
    """captum's perturb_func that gives these coalitions, one after the other."""

    def perturb(*_: Any, **__: Any) -> Iterator[Tensor]:
        for row in coalitions:
            yield row.double().unsqueeze(0)

    return perturb


def zennit_pair(case: Case) -> Pair:
    """zennit on torchvision's ResNet-18, for which it has a canoniser; ours has its weights."""
    import torchvision
    from zennit.composites import EpsilonPlus
    from zennit.torchvision import ResNetCanonizer

    full = build_network(ResNet18, CLASSES, 0).eval()
    foreign = torchvision.models.resnet18(num_classes=CLASSES).eval()
    foreign.load_state_dict(full.state_dict())
    foreign.requires_grad_(False)

    def theirs() -> Maps:
        normalised = Normalise()(case.images).requires_grad_()
        composite = EpsilonPlus(epsilon=1e-3, canonizers=[ResNetCanonizer()])
        with composite.context(foreign) as changed:
            scores = changed(normalised)[torch.arange(BATCH), case.targets]
            (found,) = torch.autograd.grad(scores, normalised, grad_outputs=scores.detach())
        return {"lrp": found.sum(dim=1)}

    def equal(found: Tensor, expected: Tensor) -> None:
        close(1e-3 * float(expected.abs().max()), 1e-3)(found, expected)

    ours = own(
        Case(full, case.images, case.targets), lrp={"composite": "epsilon_plus", "epsilon": 1e-3}
    )
    return Pair("lrp (epsilon_plus), ResNet-18 of width 64", ours, theirs, "zennit", equal)
