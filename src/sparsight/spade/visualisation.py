"""Feature visualisation: the pictures that most excite the classes of a trojan.

Of a network, and of its copies that are pruned for an image with and one without the sticker.
"""

import json
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from sparsight.data.packed import NONE, PackedSplit, Planted, read_planted
from sparsight.explain.network import frozen
from sparsight.io.arrays import read_arrays, write_arrays
from sparsight.io.errors import InputError
from sparsight.io.gpu import choose_device, set_determinism
from sparsight.models.networks import load_network
from sparsight.registration import checked_parameters
from sparsight.spade.copies import OnPrunedCopies, measured_density

#: of the stage `visualisation`: see `sparsight.study.versions`
VERSION = 1

#: how a picture is made: `fourier` or `maco`; steps of the optimiser; crops in each; the seed
DEFAULTS: dict[str, Any] = {"method": "fourier", "steps": 512, "crops": 6, "seed": 0}
METHODS = ("fourier", "maco")
#: shortest and longest side of a crop, as shares of the picture's
CROP_SIDES = (0.7, 1.0)
#: standard deviation of the noise on each crop, and full width of the uniform noise added to it
NOISE = 0.05
# horama's
_LEARNING_RATE = 1.0
_DECAY_POWER = 1.5
_RANGE = (0.0, 1.0)

#: the networks whose pictures are made, in their order
NETWORKS = ("dense", "stickered", "clean")
#: images that are looked at for one that is taken for its class
_CANDIDATES = 64
#: images whose spectra make the template of `maco`
_SPECTRA = 256


def visualisation(
    network: nn.Module,
    target: int,
    shape: tuple[int, int, int],
    settings: Mapping[str, Any],
    magnitude: Tensor | None = None,
) -> Tensor:
    """Make the picture with the largest logit of a class, on the average over noisy random crops.

    It starts from noise that depends on the seed alone. Where images are grey, so is the picture.

    Returns float32 [C, S, S] in [0, 1] on the CPU, S being H, or one more where H is odd.
    Raises InputError for settings or a shape that cannot be used.

    Parameters
    ----------
    network : gives logits; it is left as it was.
    target : the class.
    shape : (C, H, W) of the network's images, C being 1 or 3 and H equal to W.
    settings : see `DEFAULTS`. `fourier` (Olah et al. 2017) looks for a spectrum, `maco` (arXiv
        2306.06805) for the phase alone.
    magnitude : of `mean_magnitude`, for `maco`.
    """
    chosen = checked_parameters("feature visualisation", DEFAULTS, settings)
    if chosen["method"] not in METHODS:
        raise InputError(
            f"'method' of a feature visualisation is {chosen['method']!r}; it must be one of "
            f"{' and '.join(METHODS)}"
        )
    for key in ("steps", "crops"):
        if int(chosen[key]) < 1:
            raise InputError(
                f"'{key}' of a feature visualisation is {chosen[key]}; it must be at least 1"
            )
    _check_shape(shape)
    # Late: it imports pyplot.
    from horama.common import optimization_step

    channels, side, _ = shape
    device = next(network.parameters()).device

    def score(crops: Tensor) -> Tensor:
        seen = crops.mean(1, keepdim=True) if channels == 1 else crops
        logits: Tensor = network(seen.to(device))
        return logits[:, target].mean().cpu()

    # Unlike in horama, pictures have the size and the range of the images, and crops show most of
    # them. They are made on the CPU, since gradients of these crops are not deterministic on a GPU;
    # the network runs where it is. horama draws sides from the second bound up to as far above it
    # as the first one lies below.
    low, high = CROP_SIDES
    with torch.random.fork_rng(devices=[]), frozen(network):
        torch.default_generator.manual_seed(int(chosen["seed"]))
        values, pixels = _parametrisation(str(chosen["method"]), _even(side), magnitude)
        optimiser = torch.optim.NAdam([values.requires_grad_()], lr=_LEARNING_RATE)
        for _ in range(int(chosen["steps"])):
            optimiser.zero_grad()
            loss, _ = optimization_step(
                score, pixels(values), (2 * low - high, low), NOISE, int(chosen["crops"]), side
            )
            loss.backward()
            optimiser.step()
        with torch.no_grad():
            found = pixels(values)
    return found.mean(0, keepdim=True) if channels == 1 else found


def _parametrisation(
    method: str, side: int, magnitude: Tensor | None
) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
    """horama's start values, and from values to pixels float32 [3, side, side] in [0, 1]."""
    from horama import fourier_fv, maco_fv

    if method == "fourier":
        values: Tensor = fourier_fv.init_lucid_buffer(side, side)
        scale = fourier_fv.get_fft_scale(side, side, _DECAY_POWER)
        return values, lambda v: fourier_fv.fourier_preconditionner(v, scale, _RANGE, "cpu")
    shape = (3, side, side // 2 + 1)
    if magnitude is None or magnitude.shape != shape:
        raise InputError(f"the method maco needs a magnitude of the shape {shape}")
    return torch.randn(shape), lambda v: maco_fv.maco_preconditioner(magnitude, v, _RANGE, "cpu")


def mean_magnitude(images: Tensor) -> Tensor:
    """Mean magnitude of the spectra of images, the template of `maco`.

    `images`: float32 [N, C, H, W] in [0, 1], as of `visualisation`, at least one. Returns float32
    [3, S, S // 2 + 1] on the CPU, of decorrelated colours. horama fetches one of ImageNet; that of
    the data set's own images is nearer to what the network has seen.
    """
    from horama.common import get_color_correlation_svd_sqrt

    _check_shape((images.shape[1], images.shape[2], images.shape[3]))
    images = images.cpu().expand(-1, 3, -1, -1)
    side = _even(images.shape[2])
    if side != images.shape[2]:
        images = functional.interpolate(images, (side, side), mode="bilinear", antialias=True)
    decorrelating = torch.linalg.inv(get_color_correlation_svd_sqrt("cpu"))
    colours = torch.einsum("nchw,cd->ndhw", images, decorrelating)
    found: Tensor = torch.fft.rfft2(colours).abs().mean(0)
    return found


def _even(side: int) -> int:
    # the spectrum of an odd side does not fit horama's scale
    return side + side % 2


def _check_shape(shape: tuple[int, int, int]) -> None:
    channels, height, width = shape
    if channels not in (1, 3) or height != width:
        raise InputError(
            f"pictures can be made for square images of 1 or 3 channels, not for {channels} x "
            f"{height} x {width}"
        )


def visualise_checkpoint(
    settings: Mapping[str, Any],
    *,
    packed_test: Path | str,
    checkpoint: Path | str,
    sparsities: Path | str | None,
    output: Path | str,
    gpu: int,
) -> None:
    """Make pictures of the classes that stickers stand for, of a network and of pruned copies.

    A copy is pruned for the first image (in the order of evaluation subsets) with the sticker, and
    another for the first image of the class without one; of the first 64, images that the network
    takes for the class go first.

    Raises InputError when the split has none of the stickers or no clean image of a class, for
    images that are not square, or when the solver fails on a layer.

    Parameters
    ----------
    settings : `threads`; `stickers`, those whose classes are visualised; `visualised`, see
        `visualisation`; `sample_pruner` as of `explain_samples`.
    packed_test : packed test split of a data set with a trojan.
    checkpoint : the network.
    sparsities : file of `search_checkpoint`, where they were searched for.
    output : safetensors file. For k stickers `labels` int64 [k], the classes; and of the images,
        with the sticker and without, `images` float32 [k, 2, C, H, W], `image_ids`, `predicted` (by
        the network) and `copy_predicted` (by the copy pruned for it) int64 [k, 2], and `sparsity`
        float32 [k, 2], of the pruned layers of these copies; `pictures` float32 [k, 3, C, S, S] of
        the networks `dense`, `stickered`, `clean`, and `probability` and `network_probability`
        float32 [k, 3], that of the class in a picture as its own and as the unpruned network say.
        Metadata: `stickers` and `classes` (all names) as JSON, `sample_pruner`, `method`, `steps`.
    gpu : how many GPUs the job was granted.
    """
    set_determinism(settings["threads"])
    network = load_network(checkpoint, choose_device(gpu))
    planted = read_planted(packed_test)
    with PackedSplit.open(packed_test) as split:
        if planted is None or not set(settings["stickers"]) <= set(planted.names):
            raise InputError(
                f"{packed_test} does not have all stickers of {', '.join(settings['stickers'])}; "
                "prepare the data set again"
            )
        pictures = _Pictures(settings, network, split, planted, sparsities)
        found = [pictures.arrays_of(sticker) for sticker in settings["stickers"]]
        classes = split.classes
    write_arrays(
        output,
        {name: torch.stack([each[name] for each in found]) for name in found[0]},
        {
            "stickers": json.dumps(settings["stickers"]),
            "classes": json.dumps(classes),
            "sample_pruner": settings["sample_pruner"]["name"],
            "method": str(settings["visualised"]["method"]),
            "steps": str(settings["visualised"]["steps"]),
        },
    )


class _Pictures:
    """All that the pictures of a network's classes have in common."""

    def __init__(
        self,
        settings: Mapping[str, Any],
        network: nn.Module,
        split: PackedSplit,
        planted: Planted,
        searched: Path | str | None,
    ) -> None:
        self.network, self.split, self.planted = network, split, planted
        self.device = next(network.parameters()).device
        self.how = {key: settings["visualised"][key] for key in DEFAULTS}
        image = split.rows(0, 1).to(self.device).images("clean")
        chosen = settings["sample_pruner"]
        self.pruner = OnPrunedCopies.from_settings(chosen, network, image, searched)
        #: positions in the order in which evaluation subsets take them
        self.rank = read_arrays(split.path, ["evaluation_rank"])["evaluation_rank"].argsort()
        self.magnitude = None
        if self.how["method"] == "maco":
            some = self.rank[planted.stickers[self.rank] == NONE][:_SPECTRA]
            self.magnitude = mean_magnitude(split.select(some).images("clean"))

    def arrays_of(self, sticker: str) -> dict[str, Tensor]:
        """What the file holds of one sticker, without [k]; see `visualise_checkpoint`."""
        carrying = self.planted.stickers == self.planted.names.index(sticker)
        if not bool(carrying.any()):
            raise InputError(f"{self.split.path} has no image with the sticker '{sticker}'")
        label = int(self.planted.labels[carrying][0])
        own = (self.planted.labels == label) & ~self.planted.stickered
        if not bool(own.any()):
            raise InputError(
                f"{self.split.path} has no image of the class '{self.split.classes[label]}' "
                "without a sticker"
            )
        batch = self.split.select([self._first(which, label) for which in (carrying, own)])
        batch = batch.to(self.device)
        images = batch.images("clean")
        pictures, probability, predicted, sparsity = [], [], [], []

        def draw(network: nn.Module) -> None:
            shape = self.split.image_shape
            pictures.append(visualisation(network, label, shape, self.how, self.magnitude))
            probability.append(self._logits(network, pictures[-1]).softmax(0)[label])

        draw(self.network)
        copies = self.pruner.copies(self.network, images, batch.image_ids.cpu())
        for place, copied in copies:
            draw(copied)
            predicted.append(self._logits(copied, images[place]).argmax())
            sparsity.append(1.0 - measured_density(copied, self.pruner.layer_names))
            logging.info("%s: picture of %s", sticker, NETWORKS[place + 1])
        by_network = [self._logits(self.network, picture).softmax(0)[label] for picture in pictures]
        return {
            "labels": torch.tensor(label),
            "image_ids": batch.image_ids.cpu(),
            "images": images.cpu(),
            "predicted": torch.stack([self._logits(self.network, i).argmax() for i in images]),
            "copy_predicted": torch.stack(predicted),
            "sparsity": torch.tensor(sparsity),
            "pictures": torch.stack(pictures),
            "probability": torch.stack(probability),
            "network_probability": torch.stack(by_network),
        }

    def _first(self, which: Tensor, label: int) -> int:
        """Position of the first image that the network takes for the class, else of the first."""
        candidates = self.rank[which[self.rank]][:_CANDIDATES]
        images = self.split.select(candidates).to(self.device).images("clean")
        with frozen(self.network), torch.no_grad():
            taken = self.network(images).argmax(1).cpu() == label
        return int(candidates[int(taken.int().argmax())])

    def _logits(self, network: nn.Module, image: Tensor) -> Tensor:
        with frozen(network), torch.no_grad():
            logits: Tensor = network(image.unsqueeze(0).to(self.device))[0]
        return logits.cpu()
