"""Our explainers beside pytorch-grad-cam, captum and zennit: one batch, one network, equal maps."""

import contextlib
import io
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import torch
from cases import CLASSES, NETWORK, PAIRS, SIDE, Case, Maps, Pair, close, own, random_case
from pixel_explainers import captum_pairs, zennit_pair
from sidebyside import Row, compare
from torch import Tensor

from sparsight.explain.base import to_image_size
from sparsight.explain.cam import EigenCam
from sparsight.explain.network import record_outputs
from sparsight.models.base import Normalise, build_network
from sparsight.models.resnet import ResNet18

LAYER = "layer4"


def rows() -> list[Row]:
    """One row a method, in processor time."""
    torch.set_num_threads(1)
    case = random_case()
    found = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # captum and zennit warn of the hooks that they set
        for pair in [*cam_pairs(case), *captum_pairs(case), zennit_pair(case)]:
            first, second = pair.ours(), pair.theirs()
            assert first.keys() == second.keys()
            for name, maps in first.items():
                pair.equal(maps, second[name].detach().float())
            found.append(
                compare(
                    pair.name,
                    pair.ours,
                    pair.theirs,
                    pair.library,
                    "reported",
                    PAIRS,
                    time.process_time,
                )
            )
    return found


def min_max(maps: Tensor) -> Tensor:
    """To [0, 1], with the library's 1e-7."""
    shifted = maps - maps.amin(dim=(1, 2), keepdim=True)
    return shifted / (shifted.amax(dim=(1, 2), keepdim=True) + 1e-7)


def scaled(maps: Tensor) -> Tensor:
    """As pytorch-grad-cam brings the map of a layer to image size, without evidence against."""
    return min_max(to_image_size(min_max(maps.clamp_min(0)), (SIDE, SIDE), "bilinear"))


def cam_pairs(case: Case) -> Iterator[Pair]:
    """Class activation maps; those of a layer are resized and scaled as the library does it."""
    import pytorch_grad_cam as library
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    goals = [ClassifierOutputTarget(target) for target in case.targets.tolist()]

    def theirs(**classes: str) -> Callable[[], Maps]:
        def explain() -> Maps:
            found = {}
            for method, name in classes.items():
                layers = [case.network.get_submodule(LAYER)]
                # some classes draw a progress bar for each image
                with (
                    contextlib.redirect_stderr(io.StringIO()),
                    getattr(library, name)(case.network, layers) as cam,
                ):
                    found[method] = torch.from_numpy(cam(case.images, goals))
            return found

        return explain

    def ours(**entries: dict[str, Any]) -> Callable[[], Maps]:
        explain = own(case, **{name: {"layer": LAYER, **more} for name, more in entries.items()})
        return lambda: {name: scaled(maps) for name, maps in explain().items()}

    def pair(title: str, check: Callable[[Tensor, Tensor], object], **classes: str) -> Pair:
        given = {name: {"centred": True} if name == "eigen_cam" else {} for name in classes}
        return Pair(title, ours(**given), theirs(**classes), "pytorch-grad-cam", check)

    yield pair("grad_cam_pp", close(1e-4), grad_cam_pp="GradCAMPlusPlus")
    yield pair(
        "xgrad_cam, hires_cam and layer_cam together",
        close(1e-4),
        xgrad_cam="XGradCAM",
        hires_cam="HiResCAM",
        layer_cam="LayerCAM",
    )
    yield pair(
        "eigen_cam (centred), equal up to the sign, which is arbitrary in the library",
        lambda found, expected: equal_or_turned(case, found, expected),
        eigen_cam="EigenCAM",
    )
    yield pair("score_cam", close(1e-4), score_cam="ScoreCAM")
    logits = case.network(case.images).detach().gather(1, case.targets[:, None]).squeeze(1)
    positive = logits > 0
    assert bool(positive.any()), "no logit is positive"
    yield pair(
        "ablation_cam, different by definition where the logit is negative (the library divides)",
        lambda found, expected: close(1e-4)(found[positive], expected[positive]),
        ablation_cam="AblationCAM",
    )
    yield from full_grad_pairs(case, library, goals)


def equal_or_turned(case: Case, found: Tensor, expected: Tensor) -> None:
    """Each image's map, or that of the opposite sign."""
    with torch.no_grad(), record_outputs(case.network, [LAYER]) as outputs:
        case.network(case.images)
    turned = scaled(EigenCam(centred=True).map_of(-outputs[LAYER].detach(), torch.empty(0)))
    same, other = ((maps - expected).abs().amax(dim=(1, 2)) for maps in (found, turned))
    assert bool((torch.minimum(same, other) < 1e-4).all()), "some maps are neither"


def full_grad_pairs(case: Case, library: Any, goals: list[Any]) -> Iterator[Pair]:
    """FullGrad by channel, which is the library's, and by layer, the authors'.

    The library does not see the network's own normalisation: it gets a network without, and images
    that are normalised already.
    """
    bare = build_network(ResNet18, CLASSES, 0, {**NETWORK, "normalisation": "none"}).eval()
    bare.load_state_dict(case.network.state_dict())
    images = Normalise()(case.images)

    def theirs() -> Maps:
        with library.FullGrad(bare, []) as cam:
            return {"full_grad": torch.from_numpy(cam(images, goals))}

    def ours(rescale: str) -> Callable[[], Maps]:
        explain = own(case, full_grad={"rescale": rescale})
        return lambda: {name: min_max(maps) for name, maps in explain().items()}

    yield Pair("full_grad by channel", ours("channel"), theirs, "pytorch-grad-cam", close(1e-4))
    yield Pair(
        "full_grad by layer, different by definition",
        ours("layer"),
        theirs,
        "pytorch-grad-cam (by channel)",
        lambda found, expected: None,
    )
