"""The sample that a network is pruned for: augmented copies of an image, and their Hessians."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from sparsight.explain.network import frozen
from sparsight.explain.randomness import image_generator
from sparsight.io.errors import InputError
from sparsight.spade.layers import PrunedLayer, observed_inputs, unfold_inputs
from sparsight.training.augmentation import (
    Boxes,
    adjust_brightness,
    adjust_contrast,
    adjust_hue,
    adjust_saturation,
    checked_augmentation,
    crop_and_flip,
    draw_boxes,
)

#: augmentation of the paper (arXiv 2310.04519), in the words of a recipe's `augment`
PUBLISHED: dict[str, Any] = {
    "random_resized_crop": {"scale": [0.2, 1.0], "ratio": [3 / 4, 4 / 3]},
    "flip": True,
    "colour_jitter": {"brightness": 0.5, "hue": 0.3},
}
#: copies that are made at once, so that memory, the result aside, does not grow with their number
CHUNK = 256
#: parts of `colour_jitter` in the order in which they are applied
_COLOURS = {
    "brightness": adjust_brightness,
    "contrast": adjust_contrast,
    "saturation": adjust_saturation,
    "hue": adjust_hue,
}
#: parts of `colour_jitter` that a grey image has no use for
_NEEDS_COLOUR = ("saturation", "hue")


@dataclass(frozen=True)
class Draws:
    """What was drawn for the copies of some images, on the images' device."""

    boxes: Boxes | None  # crops of [M] copies, or None where nothing is cropped
    flipped: Tensor | None  # bool [M], or None
    factors: Mapping[str, Tensor]  # part of `colour_jitter` to float32 [M]

    def each(self, change: Callable[[Tensor], Tensor]) -> "Draws":
        """The same with every tensor changed: a part of the copies, or another device."""
        boxes = self.boxes
        if boxes is not None:
            sides = (boxes.top, boxes.left, boxes.height, boxes.width)
            boxes = Boxes(*(change(side) for side in sides))
        flipped = None if self.flipped is None else change(self.flipped)
        return Draws(boxes, flipped, {name: change(each) for name, each in self.factors.items()})


def draw_copies(
    shape: tuple[int, int, int],
    count: int,
    image_id: int,
    seed_name: str,
    settings: Mapping[str, Any] = PUBLISHED,
) -> Draws:
    """Draw the parameters of `count` copies of one image, on the CPU.

    They depend on the arguments alone: not on the batch that the image is in, nor on the device.
    The copies of a smaller count are not the first ones of a larger.

    Raises InputError when the settings cannot be used.

    Parameters
    ----------
    shape : (C, H, W) of the image. Where C is not 3, hue and saturation stay as they are.
    image_id, seed_name : with the use, such as the configured sample pruner, they seed the draws.
    settings : in the words of a recipe's `augment`; what is left out is not done.
    """
    parts = checked_augmentation(settings)
    draw = image_generator(image_id, seed_name)
    boxes = flipped = None
    if "random_resized_crop" in parts:
        crop = parts["random_resized_crop"]
        boxes = draw_boxes(count, shape[1:], crop["scale"], crop["ratio"], draw)
    if parts.get("flip"):
        flipped = torch.rand(count, generator=draw) < 0.5
    factors = {}
    for name in _COLOURS:
        strength = parts.get("colour_jitter", {}).get(name, 0.0)
        if strength and (shape[0] == 3 or name not in _NEEDS_COLOUR):
            spread = strength * (2 * torch.rand(count, generator=draw) - 1)
            factors[name] = spread if name == "hue" else 1 + spread
    return Draws(boxes, flipped, factors)


def apply_draws(images: Tensor, draws: Draws) -> Tensor:
    """Crop, mirror and recolour each of M images, float32 [M, C, H, W] in [0, 1], as drawn."""
    images = crop_and_flip(images, draws.boxes, draws.flipped)
    for name, factors in draws.factors.items():
        images = _COLOURS[name](images, factors)
    return images


def copy_batches(
    images: Tensor,
    count: int,
    image_ids: Tensor,
    seed_name: str,
    settings: Mapping[str, Any] = PUBLISHED,
    batch_size: int = CHUNK,
) -> Iterator[tuple[slice, slice, Tensor]]:
    """The copies that `augmented_copies` makes, at most `batch_size` at a time.

    A batch holds all copies of some images, or some copies of one, whatever the other images.
    Yields the places of the images in the batch, of the copies in each image, and these copies,
    float32 [images, copies, C, H, W] in [0, 1]. Raises InputError when the settings, the count or
    the size of a batch cannot be used.
    """
    for key, value in (("augmentations", count), ("batch_size", batch_size)):
        if value < 1:
            raise InputError(f"'{key}' is {value}; it must be at least 1")
    shape = (images.shape[1], images.shape[2], images.shape[3])
    together = max(1, batch_size // count)
    step = min(batch_size, count)
    for first in range(0, len(images), together):
        some = slice(first, min(first + together, len(images)))
        draws = [
            draw_copies(shape, count, image_id, seed_name, settings).each(
                lambda drawn: drawn.to(images.device)
            )
            for image_id in image_ids[some].tolist()
        ]
        for start in range(0, count, step):
            part = slice(start, min(start + step, count))
            copies = [
                apply_draws(
                    image.expand(part.stop - start, -1, -1, -1),
                    draw.each(lambda drawn, part=part: drawn[part]),  # type: ignore[misc]
                )
                for image, draw in zip(images[some], draws, strict=True)
            ]
            yield some, part, torch.stack(copies)


def augmented_copies(
    images: Tensor,
    count: int,
    image_ids: Tensor,
    seed_name: str,
    settings: Mapping[str, Any] = PUBLISHED,
) -> Tensor:
    """Augmented copies of a batch of images, each with a draw of its own.

    torchvision draws also the order of the changes of colour; here it is fixed, so that a batch can
    be treated as a whole. Reference: Soltani Moakhar et al. 2024, arXiv 2310.04519.

    `images`: float32 [B, C, H, W] in [0, 1]; `image_ids`: int64 [B]; for the others see
    `draw_copies`. Returns float32 [B, count, C, H, W] in [0, 1], on the device of `images`.
    Raises InputError when the settings or the count cannot be used.
    """
    result = images.new_empty(len(images), max(count, 0), *images.shape[1:])
    for rows, places, copies in copy_batches(images, count, image_ids, seed_name, settings):
        result[rows, places] = copies
    return result


MEGABYTE = 10**6
#: bytes of a float64 and of a float32
_DOUBLE, _SINGLE = 8, 4
#: matrices as large as a layer's Hessian that solving it needs besides: a damped copy, a factor
#: and an inverse
_WORKING = 3
#: bytes for each weight of a layer that solving it needs besides the result: `obs_fast` holds
#: weights and errors in float64, a control the order of all weights
_SOLVING = 40
#: most bytes of unfolded inputs at once, unless one copy of an image has more: a 3x3 convolution's
#: are nine times its inputs
_UNFOLDED = 64 * MEGABYTE


def bytes_of_image(layers: Sequence[PrunedLayer], hessians: bool = True) -> int:
    """Bytes that pruning these layers for one image takes: sparse weights, Hessians (where the
    solver needs them) and what solving adds."""
    found = bytes_of_weights(layers)
    found += max((layer.weights for layer in layers), default=0) * _SOLVING
    if hessians:
        sizes = [layer.groups * layer.columns**2 * _DOUBLE for layer in layers]
        found += sum(sizes) + _WORKING * max(sizes, default=0)
    return found


def bytes_of_weights(layers: Sequence[PrunedLayer]) -> int:
    """Bytes of the layers' weights for one image."""
    return sum(layer.weights for layer in layers) * _SINGLE


def images_at_once(layers: Sequence[PrunedLayer], budget: int, hessians: bool = True) -> int:
    """How many images can be pruned for together in `budget` bytes; see `bytes_of_image`.

    The network's own activations, which `batch_size` bounds, come on top. Raises InputError when
    not even one image fits.
    """
    needed = max(bytes_of_image(layers, hessians), 1)
    if needed > budget:
        raise InputError(
            f"'memory_mb' is {budget // MEGABYTE}, but pruning for one image takes "
            f"{-(-needed // MEGABYTE)} MB; raise it, or give large layers sparsity 0"
        )
    return budget // needed


class _Moments:
    """Sums X Xᵀ of every layer for every image, from the copies that pass through the network.

    Products are taken in float32 and their sums in float64: a product in float64 costs up to 64
    times as much on a GPU, and one over the n positions of a few copies is exact to some sqrt(n) *
    6e-8. Over all copies that would add up.
    """

    def __init__(self, layers: Sequence[PrunedLayer], images: int, device: torch.device) -> None:
        shapes = {each.name: (images, each.groups, each.columns, each.columns) for each in layers}
        self.sums = {
            name: torch.zeros(shape, dtype=torch.float64, device=device)
            for name, shape in shapes.items()
        }
        self.positions = {layer.name: torch.zeros(images, dtype=torch.int64) for layer in layers}
        #: the images whose copies now pass, all with equally many
        self.rows = slice(0, 0)

    def receive(self, name: str, module: nn.Module, inputs: Tensor) -> None:
        """Add a layer's inputs, those of the copies of each image side by side."""
        images = self.rows.stop - self.rows.start
        for image, own in enumerate(inputs.chunk(images), start=self.rows.start):
            kernel = math.prod(module.kernel_size) if isinstance(module, nn.Conv2d) else 1
            step = max(1, _UNFOLDED // (own[0].numel() * kernel * _SINGLE))
            for part in own.split(step):
                # [n, groups, K, L] -> [groups, K, n * L]
                flat = unfold_inputs(module, part).permute(1, 2, 0, 3).flatten(2)
                self.sums[name][image] += flat @ flat.transpose(1, 2)
                self.positions[name][image] += flat.shape[2]

    def hessians(self) -> dict[str, Tensor]:
        """(2 / N) X Xᵀ by layer; the sums are used up."""
        for name, sums in self.sums.items():
            factors = (1.0 / self.positions[name].double()).to(sums.device).view(-1, 1, 1, 1)
            # the two halves of a product in float32 are rounded differently
            self.sums[name] = (sums + sums.transpose(2, 3)).mul_(factors)
        return self.sums


def sample_hessians(
    network: nn.Module,
    images: Tensor,
    image_ids: Tensor,
    layers: Sequence[PrunedLayer],
    count: int,
    seed_name: str,
    augment: Mapping[str, Any] = PUBLISHED,
    batch_size: int = 64,
) -> dict[str, Tensor]:
    """Hessians of every layer's squared output error, over the copies of each image apart.

    For outputs W X of a layer, X being its unfolded inputs [K, N] at all N positions of all copies,
    (1/N) ‖W' X - W X‖² = ½ Σ d H dᵀ over the rows d of W' - W, with H = (2/N) X Xᵀ. All inputs are
    those of the network as it is given, recorded in one pass.

    Returns layer to float64 [B, groups, K, K], symmetric and undamped; for its memory see
    `bytes_of_image`. Raises InputError for settings that cannot be used, or a layer that the
    network does not have or never runs.
    Reference: Hassibi and Stork 1992 (optimal brain surgeon); Frantar and Alistarh 2022, arXiv
    2208.11580, with one image's copies as the sample: arXiv 2310.04519.

    Parameters
    ----------
    network : gives logits; it is left as it was.
    images, image_ids, count, seed_name, augment : see `augmented_copies`.
    layers : of `pruned_layers`.
    batch_size : copies in a forward pass.
    """
    moments = _Moments(layers, len(images), images.device)
    names = [layer.name for layer in layers]
    batches = copy_batches(images, count, image_ids, seed_name, augment, batch_size)
    with frozen(network), observed_inputs(network, names, moments.receive), torch.no_grad():
        for rows, _, copies in batches:
            moments.rows = rows
            network(copies.flatten(0, 1))
    for name, positions in moments.positions.items():
        if len(images) and not bool(positions.all()):
            raise InputError(f"layer '{name}' does not run in a forward pass; name another")
    return moments.hessians()
