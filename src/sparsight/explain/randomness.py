"""Randomness that belongs to an image and an explainer, never to a position in a batch.

Libraries draw from one global generator for a whole batch, and expand the batch by the number of
samples. Here an image's numbers depend on its id and the explainer's name alone, and memory stays
that of one batch.
"""

import hashlib
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

from sparsight.explain.base import ImageBatch


def seed_of(content: bytes) -> int:
    """Seed in [0, 2**63) that belongs to this content."""
    return int.from_bytes(hashlib.sha256(content).digest()[:8], "big") >> 1


def image_seed(image_id: int, name: str) -> int:
    """Seed in [0, 2**63) for an image and an explainer's configured name."""
    return seed_of(f"{name}:{image_id}".encode())


def image_generator(image_id: int, name: str) -> torch.Generator:
    """Generator on the CPU, so that the numbers are the same on every device."""
    return torch.Generator().manual_seed(image_seed(image_id, name))


def image_generators(batch: ImageBatch) -> list[torch.Generator]:
    """The generators of all images of a batch."""
    return [image_generator(image_id, batch.seed_name) for image_id in batch.image_ids.tolist()]


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Seed the global generators for libraries that know no other; restore them at the end."""
    python_state, numpy_state = random.getstate(), np.random.get_state()
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        try:
            torch.manual_seed(seed)
            np.random.seed(seed % 2**32)
            random.seed(seed)
            yield
        finally:
            random.setstate(python_state)
            np.random.set_state(numpy_state)


def _global_states(device: torch.device) -> list[object]:
    states = [torch.get_rng_state()]
    if device.type == "cuda":
        states.append(torch.cuda.get_rng_state(device))
    _, keys, *rest = np.random.get_state(legacy=True)
    words = np.asarray(keys).tolist()
    return [*(state.tolist() for state in states), words, rest, random.getstate()]


class PerImageSeeds:
    """Calls a foreign method so that its random numbers belong to the image.

    A method that draws is recognised by a global generator that has moved, and from then on is
    called one image at a time, each with its own seed. Others keep their speed.
    """

    def __init__(self) -> None:
        self._draws = False

    def __call__(self, method: Callable[[ImageBatch], Tensor], batch: ImageBatch) -> Tensor:
        """`method(batch)` -> [N,h,w], with the randomness of each image its own."""
        device = batch.images.device
        if not self._draws:
            with seeded(0, device):
                before = _global_states(device)
                maps = method(batch)
                self._draws = _global_states(device) != before
            if not self._draws:
                return maps
        rows = []
        for row, image_id in enumerate(batch.image_ids.tolist()):
            with seeded(image_seed(image_id, batch.seed_name), device):
                rows.append(method(batch.rows(slice(row, row + 1))))
        return torch.cat(rows)


def image_range(images: Tensor) -> Tensor:
    """Largest minus smallest value of each image, [N,1,1,1]: what noise is measured by."""
    return images.amax(dim=(1, 2, 3), keepdim=True) - images.amin(dim=(1, 2, 3), keepdim=True)


class ImageSamples:
    """Endless draws, each of the shape of one image, from one generator per image.

    Parameters
    ----------
    images : [N,C,H,W]; gives the shape, the kind of numbers and the device.
    generators : one for each image, on the CPU: the numbers are the same on every device.
    """

    def __init__(self, images: Tensor, generators: Iterable[torch.Generator]) -> None:
        self._like, self._generators = images, list(generators)

    def normal(self) -> Tensor:
        """Standard normal numbers [N,C,H,W]."""
        return self._draw(torch.randn, self._like.shape[1:]).to(self._like)

    def uniform(self) -> Tensor:
        """Numbers [N,C,H,W], uniform in [0, 1)."""
        return self._draw(torch.rand, self._like.shape[1:]).to(self._like)

    def uniform_per_image(self) -> Tensor:
        """One number per image [N,1,1,1], uniform in [0, 1)."""
        return self._draw(torch.rand, (1, 1, 1)).to(self._like)

    def orders(self, count: int) -> Tensor:
        """The numbers from 0 to `count` - 1 in random order, int64 [N,count]."""
        return self._draw(torch.randperm, count).to(self._like.device)

    def _draw(self, draw: Callable[..., Tensor], shape: int | Sequence[int]) -> Tensor:
        rows = [draw(shape, generator=generator) for generator in self._generators]
        return torch.stack(rows) if rows else draw(shape, generator=torch.Generator())[None][:0]
