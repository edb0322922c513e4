"""Foreign methods that draw from global generators get each image's own seed."""

import random
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from sparsight.explain.base import ImageBatch
from sparsight.explain.randomness import PerImageSeeds, image_generator, image_seed

IMAGES, TARGETS = torch.zeros(3, 1, 2, 2), torch.zeros(3, dtype=torch.int64)
IDS = torch.tensor([5, 6, 7])
BATCH = ImageBatch(nn.Identity(), IMAGES, TARGETS, IDS, "x")


def with_torch(batch: ImageBatch) -> Tensor:
    return torch.rand(len(batch), 2, 2)


def with_numpy(batch: ImageBatch) -> Tensor:
    return torch.from_numpy(np.random.uniform(size=(len(batch), 2, 2)))


def with_python(batch: ImageBatch) -> Tensor:
    return torch.full((len(batch), 2, 2), random.random())


def test_seeds_are_stable_across_versions() -> None:
    # A changed seed silently changes every stored random map.
    assert image_seed(7, "random") == 4870038314526440967
    assert 0 <= image_seed(0, "") < 2**63
    assert torch.rand(1, generator=image_generator(7, "random")).item() == pytest.approx(
        torch.rand(1, generator=torch.Generator().manual_seed(image_seed(7, "random"))).item()
    )


@pytest.mark.parametrize("method", [with_torch, with_numpy, with_python])
def test_random_methods_do_not_depend_on_the_batch(method: object) -> None:
    whole = PerImageSeeds()(method, BATCH)  # type: ignore[arg-type]
    assert whole.flatten(1).unique(dim=0).shape[0] == 3
    part = PerImageSeeds()(method, BATCH.rows(slice(1, 2)))  # type: ignore[arg-type]
    assert torch.equal(part, whole[1:2])
    other = PerImageSeeds()(method, replace(BATCH, seed_name="y"))  # type: ignore[arg-type]
    assert not torch.equal(other, whole)


@pytest.mark.parametrize("method", [with_torch, with_numpy, with_python])
def test_global_generators_are_left_alone(method: object) -> None:
    torch.manual_seed(3)
    np.random.seed(3)
    random.seed(3)
    expected = (torch.rand(1).item(), np.random.rand(), random.random())
    torch.manual_seed(3)
    np.random.seed(3)
    random.seed(3)
    PerImageSeeds()(method, BATCH)  # type: ignore[arg-type]
    assert (torch.rand(1).item(), np.random.rand(), random.random()) == expected


def test_methods_that_draw_nothing_are_called_once_per_batch() -> None:
    sizes = []

    def method(batch: ImageBatch) -> Tensor:
        sizes.append(len(batch))
        return batch.images[:, 0]

    seeds = PerImageSeeds()
    seeds(method, BATCH)
    seeds(method, BATCH)
    assert sizes == [3, 3]


def test_methods_that_draw_are_tried_on_a_batch_only_once() -> None:
    sizes = []

    def method(batch: ImageBatch) -> Tensor:
        sizes.append(len(batch))
        return torch.rand(len(batch), 2, 2)

    seeds = PerImageSeeds()
    seeds(method, BATCH)
    seeds(method, BATCH)
    assert sizes == [3, 1, 1, 1, 1, 1, 1]
