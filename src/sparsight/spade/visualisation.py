"""Feature visualisation: the picture that most excites a class of a network."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from sparsight.explain.network import frozen
from sparsight.io.errors import InputError
from sparsight.parameters import checked_parameters

#: of the stage `visualisation`: see `sparsight.study.versions`
VERSION = 1

#: how a picture is made: `fourier` or `maco`; steps of the optimiser; crops in each; the seed
DEFAULTS: dict[str, Any] = {"method": "fourier", "steps": 512, "crops": 6, "seed": 0}
METHODS = ("fourier", "maco")
#: shortest and longest side of a crop, as shares of the picture's
CROP_SIDES = (0.7, 1.0)
#: standard deviation of the noise on each crop, and full width of the uniform noise beside it
NOISE = 0.05
# horama's
_LEARNING_RATE = 1.0
_DECAY_POWER = 1.5
_RANGE = (0.0, 1.0)


def visualisation(
    network: nn.Module,
    target: int,
    shape: tuple[int, int, int],
    settings: Mapping[str, Any],
    magnitude: Tensor | None = None,
) -> Tensor:
    """Make the picture with the largest logit of a class, on the average over noisy random crops.

    It starts from noise that depends on the seed alone, so that pictures of several networks differ
    by the networks. Where images are grey, so is the picture.

    Parameters
    ----------
    network : gives logits for float32 [N, C, H, W] in [0, 1]; it is left as it was.
    target : the class.
    shape : (C, H, W) of the network's images, C being 1 or 3 and H equal to W.
    settings : see `DEFAULTS`. `fourier` (Olah et al. 2017) looks for a spectrum, `maco` (arXiv
        2306.06805) for the phase alone.
    magnitude : of `mean_magnitude`, for `maco`.

    Returns
    -------
    float32 [C, S, S] in [0, 1] on the CPU, S being H, or one more where H is odd.

    Raises
    ------
    InputError
        For settings or a shape that cannot be used.
    """
    chosen = checked_parameters("feature visualisation", DEFAULTS, settings)
    check_settings(chosen)
    channels, side, _ = shape
    check_shape(shape)
    # Late: it imports pyplot.
    from horama.common import optimization_step

    device = next(network.parameters()).device

    def score(crops: Tensor) -> Tensor:
        seen = crops.mean(1, keepdim=True) if channels == 1 else crops
        logits: Tensor = network(seen.to(device))
        return logits[:, target].mean().cpu()

    # horama is made for the GPU, ImageNet's normalisation and crops of 224 of 1,280 pixels. Here
    # pictures have the size and the range of the images, and crops show most of them. They are made
    # on the CPU, since gradients of these crops are not deterministic on a GPU; the network runs
    # where it is. horama draws sides from the second bound up to as far above it as the first one
    # lies below.
    low, high = CROP_SIDES
    with torch.random.fork_rng(devices=[]), frozen(network):
        torch.default_generator.manual_seed(int(chosen["seed"]))
        picture = _Picture(str(chosen["method"]), _even(side), magnitude)
        optimiser = torch.optim.NAdam([picture.values], lr=_LEARNING_RATE)
        for _ in range(int(chosen["steps"])):
            optimiser.zero_grad()
            loss, _ = optimization_step(
                score, picture(), (2 * low - high, low), NOISE, int(chosen["crops"]), side
            )
            loss.backward()
            optimiser.step()
        with torch.no_grad():
            found = picture()
    return found.mean(0, keepdim=True) if channels == 1 else found


class _Picture:
    """A picture by horama's parametrisation: `values` are optimised, calling it gives pixels."""

    def __init__(self, method: str, side: int, magnitude: Tensor | None) -> None:
        from horama import fourier_fv

        self.magnitude = magnitude
        if method == "maco":
            if magnitude is None or magnitude.shape != (3, side, side // 2 + 1):
                raise InputError(
                    f"the method maco needs a magnitude of the shape {(3, side, side // 2 + 1)}"
                )
            self.values = torch.randn(3, side, side // 2 + 1)
        else:
            self.values = fourier_fv.init_lucid_buffer(side, side)
            self.scale = fourier_fv.get_fft_scale(side, side, _DECAY_POWER)
        self.maco = method == "maco"
        self.values.requires_grad_(True)

    def __call__(self) -> Tensor:
        """float32 [3, side, side] in [0, 1]."""
        from horama import fourier_fv, maco_fv

        if self.maco:
            found = maco_fv.maco_preconditioner(self.magnitude, self.values, _RANGE, "cpu")
        else:
            found = fourier_fv.fourier_preconditionner(self.values, self.scale, _RANGE, "cpu")
        pixels: Tensor = found
        return pixels


def mean_magnitude(images: Tensor) -> Tensor:
    """Mean magnitude of the spectra of images, the template of `maco`.

    horama fetches one of ImageNet, unverified; that of the data set's own images is nearer to what
    the network has seen.

    Parameters
    ----------
    images : float32 [N, C, H, W] in [0, 1], C being 1 or 3 and H equal to W, at least one.

    Returns
    -------
    float32 [3, S, S // 2 + 1] on the CPU, of decorrelated colours, S as of `visualisation`.
    """
    from horama.common import get_color_correlation_svd_sqrt

    check_shape((images.shape[1], images.shape[2], images.shape[3]))
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


def check_shape(shape: tuple[int, int, int]) -> None:
    """InputError unless pictures of a shape (C, H, W) can be made."""
    channels, height, width = shape
    if channels not in (1, 3) or height != width:
        raise InputError(
            f"pictures can be made for square images of 1 or 3 channels, not for {channels} x "
            f"{height} x {width}"
        )


def check_settings(chosen: Mapping[str, Any]) -> None:
    """InputError unless the settings name a method and have at least one step and crop."""
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
