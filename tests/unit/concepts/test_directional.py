"""Slopes of class logits at a layer, against finite differences."""

from pathlib import Path

import torch
from torch import Tensor, nn

from sparsight.concepts.tcav import class_slopes, pooled_outputs, positive_shares
from sparsight.io.arrays import ArrayWriter
from sparsight.models.base import Architecture

CPU = torch.device("cpu")


class Curved(Architecture):
    """Two convolutions and a linear layer over all positions."""

    name = "curved"
    reference = "made for these tests"
    input_shape = (1, 4, 4)
    feature_cut = "last"

    def __init__(self) -> None:
        super().__init__(3)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.first = nn.Conv2d(1, 5, 3, padding=1)
            self.last = nn.Conv2d(5, 2, 3, padding=1)
            self.fc = nn.Linear(32, 3)

    def after(self, maps: Tensor) -> Tensor:
        return self.fc(self.last(maps.tanh()).tanh().flatten(1))

    def forward(self, images: Tensor) -> Tensor:
        return self.after(self.first(images))


def write_images(path: Path) -> tuple[Path, Tensor, Tensor]:
    draw = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (7, 1, 4, 4), generator=draw, dtype=torch.uint8)
    labels = torch.tensor([0, 1, 2, 0, 1, 2, 0])
    layout = {"images": (torch.uint8, (7, 1, 4, 4))}
    layout |= dict.fromkeys(("labels", "image_ids", "evaluation_rank"), (torch.int64, (7,)))
    metadata = {"dataset": "d", "split": "test", "classes": '["0","1","2"]'}
    metadata |= {"has_masks": "false", "data_hash": "abc", "noise_maximum": "0"}
    with ArrayWriter(path, layout, metadata) as writer:
        writer.append("images", images)
        writer.append("labels", labels)
        writer.append("image_ids", torch.arange(7))
        writer.append("evaluation_rank", torch.arange(7))
    return path, images.float() / 255, labels


def test_slopes_are_those_of_finite_differences(tmp_path: Path) -> None:
    path, images, labels = write_images(tmp_path / "test.safetensors")
    network = Curved().eval().requires_grad_(False)
    rows = torch.tensor([5, 0, 3, 4])
    slopes, targets = class_slopes(network, path, rows, "first", 3)
    assert torch.equal(targets, labels[rows])
    assert slopes.shape == (4, 5)
    double = Curved().double().eval()
    maps = double.first(images[rows].double())
    for channel in range(5):
        step = torch.zeros(1, 5, 1, 1, dtype=torch.float64)
        step[0, channel] = 1e-6
        change = (double.after(maps + step) - double.after(maps - step)) / 2e-6
        expected = change.gather(1, targets[:, None])[:, 0]
        assert torch.allclose(slopes[:, channel].double(), expected, atol=1e-5)


def test_outputs_are_averaged_whatever_the_batch(tmp_path: Path) -> None:
    path, images, _ = write_images(tmp_path / "test.safetensors")
    network = Curved().eval().requires_grad_(False)
    rows = torch.tensor([6, 1, 2])
    found = pooled_outputs(network, path, rows, "first", 2)
    expected = network.first(images[rows]).mean(dim=(2, 3))
    assert torch.allclose(found, expected, atol=1e-6)
    assert not network.first._forward_hooks


def test_scores_are_shares_of_the_classes_own_images() -> None:
    slopes = torch.tensor([[1.0, 0.0], [1.0, -2.0], [-1.0, 0.0], [0.0, 1.0]])
    labels = torch.tensor([0, 0, 0, 2])
    vectors = torch.tensor([[[1.0, 0.0], [0.0, 1.0]], [[1.0, 1.0], [-5.0, 0.0]]])
    found = positive_shares(slopes, labels, vectors, 3)
    assert found.shape == (3, 2, 2)
    third = 1 / 3
    # a derivative of 0 is not positive
    expected = torch.tensor([[2 * third, 0.0], [third, third]], dtype=torch.float64)
    assert torch.allclose(found[0], expected)
    assert found[1].isnan().all()
    assert found[2].tolist() == [[0.0, 1.0], [1.0, 0.0]]
    # a vector's length does not matter
    assert torch.equal(positive_shares(slopes, labels, 9 * vectors, 3)[0], found[0])
