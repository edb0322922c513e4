"""Randomisation: does an explanation change when the network, or the class, is another one?"""

import copy
from collections.abc import Iterator
from typing import Any, ClassVar
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from sparsight.explain.randomness import image_range, seed_of
from sparsight.io.errors import InputError
from sparsight.metrics.agreement import WINDOW, spearman, ssim
from sparsight.metrics.base import MapBatch, Metric, image_samples, per_image, shows_nothing
from sparsight.models.base import predicts, prunable_parameters


def drawable_layers(model: nn.Module) -> dict[str, nn.Module]:
    """Modules with weights of their own, which `drawn_weights` draws anew, in order.

    The order is that in which they are registered, which is that of the forward pass in all
    architectures here; the tokens and position embeddings of a transformer, its own parameters,
    come first. What only trains (fact `training_only`) is left out.
    """
    layers = {
        name: module
        for name, module in model.named_modules()
        if predicts(model, name)
        and (
            _own_tensors(module)
            if hasattr(module, "reset_parameters")
            else next(module.parameters(recurse=False), None) is not None
        )
    }
    if not layers:
        raise InputError("the network has no layer that can be randomised")
    return layers


def _own_tensors(module: nn.Module) -> dict[str, Tensor]:
    return {
        **dict(module.named_parameters(recurse=False)),
        **dict(module.named_buffers(recurse=False)),
    }


# arXiv:2010.11929 and its followers in torchvision and timm
_TOKEN_DEVIATION = 0.02


def drawn_weights(layer: nn.Module, name: str, seed: int) -> dict[str, Tensor]:
    """A layer's own parameters and buffers, by name, as its constructor would draw them.

    Convolutions and linear layers get new weights and biases; a batch norm becomes one that has
    seen nothing (scale 1, shift 0, mean 0, variance 1). Where a layer has no `reset_parameters`,
    its parameters become normal with the standard deviation from which transformers draw their
    tokens, position embeddings and relative positions. The layer's name and the seed of the whole
    network seed the draw, so that no two layers share numbers; it is made on the CPU, the same for
    every device.
    """
    fresh = copy.deepcopy(layer).cpu()
    # Layers know no other generator than torch's own.
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed_of(f"{seed}:{name}".encode()))
        # torch's attention hides its own
        reset = getattr(fresh, "reset_parameters", getattr(fresh, "_reset_parameters", None))
        if reset is not None:
            reset()
        else:
            for parameter in fresh.parameters(recurse=False):
                parameter.normal_(std=_TOKEN_DEVIATION)
    new = _own_tensors(fresh)
    return {own: new[own].detach().to(old.device) for own, old in _own_tensors(layer).items()}


class NetworkRandomiser:
    """Makes copies of networks with random layers; weights are drawn once for each network.

    They depend on the layers' kinds, sizes and names alone, and so are the same for all images,
    explainers and levels.

    Parameters
    ----------
    seed : of the weights.
    keep_sparsity : whether weights of convolutions and linear layers that are exactly 0 stay 0. A
        pruned network is then compared with a random one of the same connections; dense random
        weights would undo the pruning and randomise at once.
    """

    def __init__(self, seed: int, keep_sparsity: bool) -> None:
        self._seed, self._keep_sparsity = seed, keep_sparsity
        # Scores are asked for batch by batch; a network that is gone takes its weights with it.
        self._drawn: WeakKeyDictionary[nn.Module, dict[str, dict[str, Tensor]]] = (
            WeakKeyDictionary()
        )

    def stages(self, model: nn.Module, count: int, order: str) -> Iterator[nn.Module]:
        """Copies of `model` in which more and more layers are random, in the end all of them.

        `count` stages, or fewer where there are fewer layers, evenly spread over these; "bottom_up"
        begins at the image, "top_down" at the logits. Yields one and the same copy, in evaluation
        mode and without parameter gradients, further randomised each time.
        """
        if model not in self._drawn:
            self._drawn[model] = {
                name: drawn_weights(layer, name, self._seed)
                for name, layer in drawable_layers(model).items()
            }
        drawn = self._drawn[model]
        names = list(drawn) if order == "bottom_up" else list(drawn)[::-1]
        count = min(count, len(names))
        network = copy.deepcopy(model).eval().requires_grad_(False)
        prunable = set(prunable_parameters(network)) if self._keep_sparsity else set()
        layers = dict(network.named_modules())
        for stage in range(count):
            for name in names[stage * len(names) // count : (stage + 1) * len(names) // count]:
                for own, tensor in _own_tensors(layers[name]).items():
                    new = drawn[name][own].to(tensor.device)
                    if f"{name}.{own}" in prunable:
                        new = torch.where(tensor == 0, torch.zeros_like(new), new)
                    tensor.copy_(new)
            yield network

    def randomise(self, model: nn.Module) -> nn.Module:
        """A copy of `model` with all layers random."""
        return next(self.stages(model, 1, "bottom_up"))


def histogram_entropy(maps: Tensor, bins: int) -> Tensor:
    """Entropy of how a map's values spread over equal bins between its least and its greatest.

    -Σ pⱼ ln pⱼ, pⱼ the share of the pixels in bin j; the last bin holds the greatest value too, as
    in numpy.histogram. float64 [N] in (0, ln bins], in nats, of maps float32 [N, H, W]; NaN for a
    map that `shows_nothing`.
    """
    values = per_image(maps).to(torch.float64)
    lowest, highest = values.amin(dim=1, keepdim=True), values.amax(dim=1, keepdim=True)
    undefined = shows_nothing(maps)
    places = ((values - lowest) / (highest - lowest) * bins).masked_fill(undefined[:, None], 0)
    places = places.long().clamp_max(bins - 1)
    rows = torch.arange(len(maps), device=maps.device).unsqueeze(1) * bins
    counts = torch.bincount((places + rows).flatten(), minlength=len(maps) * bins)
    shares = counts.view(len(maps), bins).to(torch.float64) / values.shape[1]
    # `entr` is -p ln p, and 0 at 0.
    entropy: Tensor = torch.special.entr(shares).sum(dim=1)
    return entropy.masked_fill(undefined, torch.nan)


class EfficientMprt(Metric):
    """Rise of the explanation's complexity when all layers of the network are random.

    (H(ê) - H(e)) / H(e), with e the map of the network, ê that of a copy whose layers are all drawn
    anew, and H the entropy of the histogram of a map's values over `bins` equal bins: the paper's
    eMPRT and quantus.EfficientMPRT with their defaults (100 bins, signed values as they are). What
    a random network looks for is less ordered, so the complexity of a faithful explanation rises; 0
    for one that does not look at the network.

    The value is the mean over `draws` copies. A copy whose map of an image is constant is left out
    of that image's mean; the value is NaN where all are, or where the network's own map is constant
    (quantus refuses such maps). With class activation maps, whose negative values are cut off, the
    weights of one draw decide for a class whether its maps are empty: with few draws whole classes
    can be missing, so look at the count of images next to the number.

    Copies are drawn once for all images and explainers; a batch norm becomes one that has seen
    nothing. quantus makes one copy, and seeds all layers alike: those of one size become equal.

    Parameters
    ----------
    bins : of the histogram.
    draws : number of random copies, each of which takes one explanation.
    seed : of the random weights of the first copy; the others have the next whole numbers.
    keep_sparsity : whether pruned weights stay 0, see `NetworkRandomiser`.
    """

    name = "efficient_mprt"
    label = "efficient MPRT"
    reference = (
        "Hedström et al. 2024, arXiv:2401.06465; the test: Adebayo et al., NeurIPS 2018, "
        "arXiv:1810.03292"
    )
    category = "randomisation"
    direction = "higher"
    unit = "relative rise of entropy, -1 or more"
    needs = ("model", "explainer")
    parameters: ClassVar[dict[str, Any]] = {
        "bins": 100,
        "draws": 3,
        "seed": 0,
        "keep_sparsity": True,
    }
    allowed: ClassVar[dict[str, Any]] = {"bins": "[2, inf)", "draws": "[1, inf)"}

    def __init__(self, **parameters: Any) -> None:
        super().__init__(**parameters)
        seed, keep_sparsity = self.settings["seed"], self.settings["keep_sparsity"]
        self._randomisers = [
            NetworkRandomiser(seed + draw, keep_sparsity) for draw in range(self.settings["draws"])
        ]

    def score(self, batch: MapBatch) -> Tensor:
        bins = self.settings["bins"]
        before = histogram_entropy(batch.attributions, bins)
        copies = (one.randomise(batch.network) for one in self._randomisers)
        maps = (batch.explain_again(model=one) for one in copies)
        # The mean of differences: exactly 0 where all draws explain alike.
        rises = torch.stack([histogram_entropy(some, bins) - before for some in maps])
        return (rises.nanmean(dim=0) / before).to(torch.float32)


class SmoothMprt(Metric):
    """Rank correlation of smoothed explanations while the network's layers are drawn anew.

    One step for each stage of `layers`, at which more of the network is random, at the last all of
    it: Spearman's correlation of the map with that of the network as given. Both are means over
    `samples` noisy copies of the image, one of which is the image itself, so that
    `samples: 1` is the test of Adebayo et al. The noise is normal, with a standard deviation of
    `noise` times the image's range; copies are not cut to [0, 1], and all stages see the same. A
    table shows the mean over the steps. The network as given is no step: it would be 1.

    As quantus.SmoothMPRT with its defaults, but for three: quantus randomises layer by layer, draws
    other noise at each stage, and leaves 1 for the network as given in the mean. NaN where a
    smoothed map is constant or holds NaN.

    The copies are drawn as for `efficient_mprt`. A score takes samples · (layers + 1) explanations.

    Parameters
    ----------
    samples : copies of each image that a map is the mean of.
    noise : standard deviation as a share of the image's range.
    layers : number of stages, evenly spread over the layers (batch norms count); each layer is a
        stage where there are fewer. The last stage is always the whole network.
    order : "bottom_up", as the paper advises, or "top_down", as in Adebayo et al., which keeps what
        the lower layers know for long.
    absolute : whether the absolute values of the smoothed maps are ranked.
    seed, keep_sparsity : see `NetworkRandomiser`.
    """

    name = "smooth_mprt"
    label = "smooth MPRT"
    reference = (
        "Hedström et al. 2024, arXiv:2401.06465; the test: Adebayo et al., NeurIPS 2018, "
        "arXiv:1810.03292"
    )
    category = "randomisation"
    direction = "lower"
    unit = "rank correlation, -1 to 1"
    needs = ("model", "explainer")
    # "signed": signs must cancel in the mean, absolute values are taken after it.
    paper_treatment = (
        "Adebayo et al. report both signed and absolute maps; `absolute` (true, as in quantus) "
        "takes the magnitude of the mean map, after the signs of noisy copies have cancelled"
    )
    reducer = "mean"
    step_axis = "stages of layers drawn anew"
    parameters: ClassVar[dict[str, Any]] = {
        "samples": 50,
        "noise": 0.1,
        "layers": 5,
        "order": "bottom_up",
        "absolute": True,
        "seed": 0,
        "keep_sparsity": True,
    }
    allowed: ClassVar[dict[str, Any]] = {
        "samples": "[1, inf)",
        "layers": "[1, inf)",
        "noise": "[0, inf)",
        "order": ("bottom_up", "top_down"),
    }

    def __init__(self, **parameters: Any) -> None:
        super().__init__(**parameters)
        self._randomiser = NetworkRandomiser(self.settings["seed"], self.settings["keep_sparsity"])

    def step_values(self) -> list[float]:
        """1, 2, ...: the network as given, stage 0, is no step."""
        return [float(stage) for stage in range(1, self.settings["layers"] + 1)]

    def score(self, batch: MapBatch) -> Tensor:
        before = self._smooth_map(batch, batch.network)
        stages = self._randomiser.stages(
            batch.network, self.settings["layers"], self.settings["order"]
        )
        return torch.stack([spearman(before, self._smooth_map(batch, one)) for one in stages], 1)

    def _smooth_map(self, batch: MapBatch, model: nn.Module) -> Tensor:
        """Mean map [N, H, W] over the noisy copies, one of each image at a time."""
        images = batch.images
        # The same numbers at every stage, without keeping them.
        draws = image_samples(images, self.name)
        deviation = self.settings["noise"] * image_range(images)
        total = batch.explain_again(model=model)
        for _ in range(self.settings["samples"] - 1):
            noisy = images + deviation * draws.normal()
            total = total + batch.explain_again(model=model, images=noisy)
        mean: Tensor = total / self.settings["samples"]
        return mean.abs() if self.settings["absolute"] else mean


def other_classes(
    images: Tensor, targets: Tensor, class_count: int, wanted: int, name: str
) -> Tensor:
    """Classes other than the target, drawn for each image and `name` without replacement.

    int64 [N, min(wanted, class_count - 1)] for images float32 [N, C, H, W] and targets int64 [N].
    """
    drawn = image_samples(images, name).orders(class_count - 1)[:, :wanted]
    # Without the target there is one class fewer: those from the target on move up.
    return drawn + (drawn >= targets.unsqueeze(1))


class RandomLogit(Metric):
    """Structural similarity of the map with that of another class of the same image.

    1 for an explanation that looks the same for every class, and so says nothing of the target.
    The other class is drawn for each image, and is the same at every level and for every explainer;
    `others` above 1 gives the mean over several classes, all others where there are not so many.

    A comparison is undefined where either map is constant: an empty map is not unlike, it says
    nothing. The mean is over the classes whose comparison is defined, and NaN where none is. Class
    activation maps are often empty for a class that the image does not show: give more `others`,
    and look at the count of images next to the number.

    `quantus.RandomLogit` takes the similarity of maps written as one row (windows of 7 pixels; here
    7 × 7, as in `ssim`), and divides maps by the greatest magnitude in the batch (here each is
    scaled to its own range).
    """

    name = "random_logit"
    reference = "Sixt et al., ICML 2020, arXiv:1912.09818; as in quantus.RandomLogit"
    paper_treatment = (
        "takes the larger similarity, to the other map or to its negative; a map that is turned "
        "round for another class does tell the two apart, so here it counts as unlike"
    )
    category = "randomisation"
    direction = "lower"
    unit = "structural similarity, -1 to 1"
    needs = ("model", "explainer")
    normalisation = "min_max"
    parameters: ClassVar[dict[str, Any]] = {"others": 1}
    allowed: ClassVar[dict[str, Any]] = {"others": "[1, inf)"}

    def score(self, batch: MapBatch) -> Tensor:
        images = batch.images
        if min(images.shape[2:]) < WINDOW:
            raise InputError(
                f"metric {self.name} needs images of at least {WINDOW} x {WINDOW} pixels, not "
                f"{images.shape[2]} x {images.shape[3]}; take it out of `metrics` for this data set"
            )
        class_count = batch.logits(images[:1]).shape[1]
        if class_count < 2:
            raise InputError(f"metric {self.name} needs a network of two or more classes")
        wanted = self.settings["others"]
        others = other_classes(images, batch.targets, class_count, wanted, self.name)
        maps = (batch.explain_again(targets=some) for some in others.unbind(dim=1))
        return torch.stack([ssim(batch.attributions, some) for some in maps]).nanmean(dim=0)
