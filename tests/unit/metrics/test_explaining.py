"""Explaining anew with the explainer whose attributions are scored."""

import pytest
import torch

from sparsight.io.errors import InputError
from sparsight.metrics.base import BatchExplainer

IDS = torch.tensor([30, 10, 20])


class IdMap:
    """An explainer whose map is the image's id plus the mean of the image and the target."""

    def __init__(self):
        self.sizes = []

    def explain(self, batch):
        assert (batch.model, batch.seed_name) == ("network", "configured")
        self.sizes.append(len(batch))
        values = batch.image_ids + batch.targets + batch.images.mean((1, 2, 3))
        return values[:, None, None].expand(-1, 2, 2)


def bound(explainer):
    return BatchExplainer(explainer, IDS, "configured", lambda maps: maps * 2)


def test_rows_are_the_batch_in_order_any_number_of_times():
    explainer = IdMap()
    targets = torch.tensor([0, 1, 2, 3, 4, 5])
    maps = bound(explainer)("network", torch.zeros(6, 1, 4, 4), targets)
    assert maps[:, 0, 0].tolist() == [60, 22, 44, 66, 28, 50]
    assert explainer.sizes == [3, 3]


def test_rows_may_be_named():
    rows, images = torch.tensor([1, 1, 2, 0]), torch.full((4, 1, 4, 4), 0.5)
    maps = bound(IdMap())("network", images, torch.zeros(4), rows)
    assert maps[:, 1, 1].tolist() == [21, 21, 41, 61]


def test_images_that_cannot_be_matched():
    with pytest.raises(InputError, match="4 images cannot be matched to a batch of 3"):
        bound(IdMap())("network", torch.zeros(4, 1, 4, 4), torch.zeros(4))
