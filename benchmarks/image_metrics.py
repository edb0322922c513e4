"""Metrics that ask the network about colour images, beside those of quantus: one batch."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any
from unittest import mock

import numpy as np
import torch
from cases import BATCH, CLASSES, PAIRS, SIDE, Case, random_case
from sidebyside import Row, alone, compare
from skimage.metrics import structural_similarity
from torch import Tensor, nn
from torch.nn import functional

from sparsight.metrics.base import MapBatch, Metric
from sparsight.metrics.faithfulness import Infidelity, random_subsets
from sparsight.metrics.preparation import min_max
from sparsight.metrics.randomisation import NetworkRandomiser, other_classes
from sparsight.metrics.registry import METRICS
from sparsight.metrics.robustness import perturbed_images

BLOCK, BLOCKS = 8, (SIDE // 8) ** 2
RUNS, SUBSET, STEPS, SAMPLES = 32, 100, 48, 8
SEGMENTS, PERCENTAGES = 100, [10, 30, 50, 70, 90]
PERTURBED = {"nr_samples": SAMPLES, "abs": False, "normalise": False}
# What is counted, our metric and its parameters, that of quantus and its parameters. quantus works
# on the values of single channels. Those of a pixel are alike in a map, and so are flipped one
# after another; their number in a step must divide that of the pixels, so that only after every
# third step pixels are whole.
PAIRED: tuple[tuple[str, str, dict[str, Any], str, dict[str, Any]], ...] = (
    (
        f"{BLOCKS} squares",
        *("infidelity", {"samples": BLOCKS, "scaled": False}),
        *("Infidelity", {"perturb_patch_sizes": [BLOCK], "n_perturb_samples": 1}),
    ),
    (
        f"{RUNS} subsets",
        *("faithfulness_correlation", {"samples": RUNS, "subset_size": SUBSET}),
        *("FaithfulnessCorrelation", {"nr_runs": RUNS, "subset_size": 3 * SUBSET}),
    ),
    (
        f"{STEPS} steps",
        *("pixel_flipping", {"steps": STEPS, "value": "probability"}),
        *("PixelFlipping", {"features_in_step": 3 * SIDE * SIDE // STEPS}),
    ),
    (
        f"{SAMPLES} copies",
        *("max_sensitivity", {"samples": SAMPLES}),
        *("MaxSensitivity", PERTURBED),
    ),
    (
        f"{SAMPLES} copies",
        *("average_sensitivity", {"samples": SAMPLES}),
        *("AvgSensitivity", PERTURBED),
    ),
    (
        f"{SAMPLES} copies",
        *("local_lipschitz", {"samples": SAMPLES, "scaling": "none"}),
        *("LocalLipschitzEstimate", PERTURBED),
    ),
    (
        "different by definition: quantus compares maps written as one row",
        *("random_logit", {}),
        *("RandomLogit", {"num_classes": CLASSES}),
    ),
    ("all layers random", "efficient_mprt", {"draws": 1}, "EfficientMPRT", {}),
)
ROBUSTNESS = ("max_sensitivity", "average_sensitivity", "local_lipschitz")
REFUSED: tuple[tuple[str, str, dict[str, Any], str, dict[str, Any]], ...] = (
    (f"about {SEGMENTS} segments", "irof", {"segments": SEGMENTS}, "IROF", {}),
    (
        f"{len(PERCENTAGES)} shares",
        *("road_morf", {"percentages": PERCENTAGES}),
        *("ROAD", {"percentages": PERCENTAGES}),
    ),
)
OURS = {name: METRICS.load(name)(**given) for _, name, given, _, _ in (*PAIRED, *REFUSED)}
THEIRS = {name: (class_name, given) for _, name, _, class_name, given in (*PAIRED, *REFUSED)}
QUIET = {"disable_warnings": True, "display_progressbar": False, "return_aggregate": False}


@dataclass(frozen=True)
class Scored:
    """A case, and float32 [N,H,W] maps: any for faithfulness, and those of the explainer.

    The former are ranks, of which no two are alike, of greatest magnitude 1. Every image has a
    black pixel, which is what quantus understands by its baseline "black".
    """

    case: Case
    maps: Tensor
    explained: Tensor

    def ours(self, name: str, metric: Metric | None = None) -> Tensor:
        """Values of one of our metrics."""
        return self.together([name], metric)[name]

    def together(self, names: Sequence[str], metric: Metric | None = None) -> dict[str, Tensor]:
        """Values of several of our metrics that share passes."""
        metrics = {name: metric or OURS[name] for name in names}
        first = next(iter(metrics.values()))
        maps, explain = (self.explained if first.needs[1:] else self.maps), gradient
        if first.normalisation == "min_max":
            maps, explain = min_max(maps), scaled_gradient
        given = (maps, self.case.images, self.case.targets, None, self.case.network, explain)
        return first.score_together(metrics, MapBatch(*given))

    def theirs(self, name: str, **more: Any) -> Any:
        """Values of the metric of quantus for ours, called once for the whole batch."""
        import quantus

        class_name, given = THEIRS[name]
        maps = self.explained if OURS[name].needs[1:] else self.maps
        return getattr(quantus, class_name)(**QUIET, **given, **more)(
            model=self.case.network,
            x_batch=self.case.images.numpy().copy(),
            y_batch=self.case.targets.numpy().copy(),
            a_batch=maps.numpy()[:, None].copy(),
            explain_func=explain_func,
            channel_first=True,
            device="cpu",
            batch_size=BATCH,
        )


def rows() -> list[Row]:
    """One row a metric, in processor time; equal values are asserted before anything is timed.

    What is timed draws for itself, with the same number of passes.
    """
    torch.set_num_threads(1)
    scored = scored_case()
    equal_faithfulness(scored)
    equal_explaining(scored)
    found = [
        compare(
            f"{name}, {title}",
            partial(scored.ours, name),
            partial(scored.theirs, name),
            f"quantus.{class_name}",
            "reported",
            PAIRS,
            time.process_time,
        )
        for title, name, _, class_name, _ in PAIRED
    ]
    together = compare(
        f"{', '.join(ROBUSTNESS)} together, {SAMPLES} copies",
        partial(scored.together, ROBUSTNESS),
        lambda: [scored.theirs(name) for name in ROBUSTNESS],
        "quantus, one after another",
        "reported",
        PAIRS,
        time.process_time,
    )
    return [*found, together, *without_quantus(scored)]


def scored_case() -> Scored:
    """Random maps, smooth as those of a layer are."""
    case = random_case()
    case.network.requires_grad_(False)
    case.images[:, :, 0, 0] = 0
    draw = torch.Generator().manual_seed(1)
    coarse = torch.randn((BATCH, 1, 8, 8), generator=draw)
    smooth = functional.interpolate(coarse, size=(SIDE, SIDE), mode="bicubic").flatten(1)
    ranks = (smooth.argsort(dim=1).argsort(dim=1) + 1).view(BATCH, SIDE, SIDE)
    explained = gradient(case.network, case.images, case.targets)
    return Scored(case, 2 * ranks / (SIDE * SIDE) - 1, explained)


def gradient(
    model: nn.Module, images: Tensor, targets: Tensor, rows: Tensor | None = None
) -> Tensor:
    """The explainer: gradient times input, [N, H, W]."""
    del rows  # nothing is drawn
    with torch.enable_grad():
        wanted = images.detach().clone().requires_grad_()
        (found,) = torch.autograd.grad(model(wanted).gather(1, targets[:, None]).sum(), wanted)
    return (found * images).sum(dim=1).detach()


def scaled_gradient(
    model: nn.Module, images: Tensor, targets: Tensor, rows: Tensor | None = None
) -> Tensor:
    """The explainer's maps in [0, 1]."""
    return min_max(gradient(model, images, targets, rows))


def explain_func(model: nn.Module, inputs: Any, targets: Any, **_: Any) -> np.ndarray:
    """The same explainer for quantus."""
    images = torch.as_tensor(np.asarray(inputs), dtype=torch.float32)
    return gradient(model, images, torch.as_tensor(targets))[:, None].numpy()


def equal_faithfulness(scored: Scored) -> None:
    """Assert that values are equal, given the same perturbations."""
    blocks = BlocksOfQuantus(scaled=False)
    close(scored.ours("infidelity", blocks), scored.theirs("infidelity"))

    name = "faithfulness_correlation"
    drawn = iter(
        [
            torch.cat([row + channel * SIDE * SIDE for channel in range(3)]).numpy()
            for subset in random_subsets(scored.case.images, SUBSET, RUNS, name)
            for row in subset
        ]
    )
    with mock.patch.object(np.random, "choice", side_effect=drawn):
        close(scored.ours(name), scored.theirs(name))

    # quantus leaves out the unperturbed image.
    curves = np.asarray(scored.theirs("pixel_flipping"))
    close(scored.ours("pixel_flipping")[:, 3::3], curves[:, 2::3])


def equal_explaining(scored: Scored) -> None:
    """Assert that values are equal, given the same copies, classes and random networks."""
    from quantus.helpers.model.pytorch_model import PyTorchModel

    images, targets = scored.case.images, scored.case.targets
    for name in ROBUSTNESS:
        settings = OURS[name].settings
        copies = perturbed_images(images, SAMPLES, settings["radius"], settings["noise"])

        def perturb(arr: Any, copies: Iterator[Tensor] = copies, **_: Any) -> np.ndarray:
            return next(copies).flatten(1).numpy()

        close(scored.ours(name), scored.theirs(name, perturb_func=perturb))

    others = other_classes(images, targets, CLASSES, 1, "random_logit")[:, 0]
    places = (others - (others > targets).long()).numpy()
    with mock.patch.object(np.random, "randint", return_value=places):
        expected = scored.theirs("random_logit", similarity_func=similarity_of_maps)
    close(scored.ours("random_logit"), expected)

    def randomised(self: Any, **_: Any) -> Iterator[tuple[str, nn.Module]]:
        yield "all layers", NetworkRandomiser(0, True).randomise(self.model)

    with (
        mock.patch.object(PyTorchModel, "get_random_layer_generator", randomised),
        mock.patch.object(PyTorchModel, "random_layer_generator_length", 1),
    ):
        close(scored.ours("efficient_mprt"), scored.theirs("efficient_mprt"))


def close(found: Tensor, expected: Any) -> None:
    """Equal as they are in the tests."""
    values = torch.from_numpy(np.asarray(expected, dtype=np.float32))
    assert values.abs().max() > 1e-3, "the values are all 0"
    torch.testing.assert_close(found, values, atol=1e-5, rtol=1e-5)


class BlocksOfQuantus(Infidelity):
    """Black blocks of a grid, one more in each image than in the one before."""

    def perturbations(self, images: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """See `Infidelity.perturbations`."""
        removed = images.clone()
        for top in range(0, SIDE, BLOCK):
            for left in range(0, SIDE, BLOCK):
                removed = removed.clone()
                removed[:, :, top : top + BLOCK, left : left + BLOCK] = 0
                yield removed, (images - removed).sum(dim=1)


def similarity_of_maps(first: np.ndarray, second: np.ndarray, batched: bool) -> list[float]:
    """Structural similarity of maps in [0, 1]; quantus hands them over as rows."""
    assert batched
    values = []
    for pair in zip(first, second, strict=True):
        a, b = (np.float64(one.reshape(SIDE, SIDE)) for one in pair)
        a, b = ((one - one.min()) / (one.max() - one.min()) for one in (a, b))
        values.append(structural_similarity(a, b, data_range=1))
    return values


def without_quantus(scored: Scored) -> Iterator[Row]:
    """What quantus cannot run on these images, which is tried here and now."""
    for title, name, _, class_name, _ in REFUSED:
        try:
            scored.theirs(name)
        except Exception as error:  # whatever it is, it is what a user would see
            words = " ".join(str(error).split()).replace("|", " ")
            why = f"quantus.{class_name} cannot run: {type(error).__name__}: {words}"
        else:
            raise AssertionError(f"quantus.{class_name} runs by now: put it beside ours")
        ours = partial(scored.ours, name)
        yield alone(f"{name}, {title}", ours, why, "reported", PAIRS, time.process_time)
