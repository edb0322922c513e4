"""Score-CAM and Ablation-CAM: by hand, with few passes and within the memory of a batch."""

import math

import pytest
import torch
from torch import Tensor, nn

from sparsight.explain.base import ImageBatch
from sparsight.explain.cam import AblationCam, PerturbationCam, ScoreCam
from sparsight.io.errors import InputError

Batch = tuple[Tensor, Tensor, Tensor]
EXPLAINERS = [ScoreCam, AblationCam]
ZERO = torch.tensor([0])
IMAGE = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]])


def two_channels(head: list[float], bias: float = 0.0) -> nn.Module:
    """The image and 4 less the image, rectified; a logit weighs all eight values."""
    model = nn.Sequential(nn.Conv2d(1, 2, 1), nn.ReLU(), nn.Flatten(), nn.Linear(8, 1))
    model.requires_grad_(False)
    model.get_parameter("0.weight").copy_(torch.tensor([1.0, -1.0]).view(2, 1, 1, 1))
    model.get_parameter("0.bias").copy_(torch.tensor([0.0, 4.0]))
    model.get_parameter("3.weight").copy_(torch.tensor([head]))
    model.get_parameter("3.bias").fill_(bias)
    return model.eval()


def test_ablation_cam_by_hand() -> None:
    # Channels (1, 2, 3, 4) and (3, 2, 1, 0) contribute 1 + 8 and 3 - 2.
    model = two_channels([1.0, 0, 0, 2, 1, 0, -2, 0], bias=7.0)
    maps = AblationCam(layer="1").explain(ImageBatch(model, IMAGE, ZERO, ZERO, "a"))
    assert maps.tolist() == [[[9.0 + 3, 18 + 2], [27 + 1, 36]]]


def test_a_negative_logit_does_not_turn_the_map() -> None:
    # Contributions 3 and -12 make the logit -9: the first channel is what speaks for the class.
    model = two_channels([3.0, 0, 0, 0, -4, 0, 0, 0])
    maps = AblationCam(layer="1").explain(ImageBatch(model, IMAGE, ZERO, ZERO, "a"))
    assert maps.tolist() == [[[0.0, 0.0], [0.0, 12.0]]]


def test_before_a_relu_a_channel_is_set_to_zero_as_well() -> None:
    model = two_channels([1.0, 0, 0, 2, 1, 0, -2, 0])
    behind = AblationCam(layer="1").explain(ImageBatch(model, IMAGE, ZERO, ZERO, "a"))
    before = AblationCam(layer="0").explain(ImageBatch(model, IMAGE, ZERO, ZERO, "a"))
    assert torch.equal(behind, before)


def test_score_cam_by_hand() -> None:
    # Masks (0, 1, 2, 3) / 3 and (3, 2, 1, 0) / 3 leave (0, 2, 6, 12) / 3 and (3, 4, 3, 0) / 3 of
    # the image, whose sums are the scores.
    model = two_channels([1.0, 1, 1, 1, 0, 0, 0, 0], bias=5.0)
    maps = ScoreCam(layer="1").explain(ImageBatch(model, IMAGE, ZERO, ZERO, "s"))
    first = 1 / (1 + math.exp((10 - 20) / 3))
    channels = torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.tensor([[3.0, 2.0], [1.0, 0.0]])
    expected = first * channels[0] + (1 - first) * channels[1]
    torch.testing.assert_close(maps[0], expected, atol=1e-6, rtol=1e-5)


def test_a_constant_channel_shows_black() -> None:
    # The second channel is 0.3 everywhere: not black, but its mask hides everything.
    model = two_channels([1.0, 1, 1, 1, 0, 0, 0, 0], bias=5.0)
    model.get_parameter("0.weight")[1] = 0
    model.get_parameter("0.bias")[1] = 0.3
    maps = ScoreCam(layer="1").explain(ImageBatch(model, IMAGE, ZERO, ZERO, "s"))
    first = 1 / (1 + math.exp(-20 / 3))
    expected = first * IMAGE[0, 0] + (1 - first) * 0.3
    torch.testing.assert_close(maps[0], expected, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("explainer", EXPLAINERS)
def test_trials_fill_passes_of_32(
    explainer: type[PerturbationCam], network: nn.Module, batch: Batch
) -> None:
    rows: dict[str, list[int]] = {"conv1": [], "classifier": []}
    for layer, found in rows.items():
        network.get_submodule(layer).register_forward_hook(
            lambda module, given, output, found=found: found.append(len(output))
        )
    explainer(layer="conv2", channels=8).explain(ImageBatch(network, *batch, "x"))
    assert max(rows["conv1"]) == (32 if explainer is ScoreCam else 7)
    assert max(rows["classifier"]) == (32 if explainer is ScoreCam else 8)
    # Eight trials of each image, the batch itself and what is asked once a batch.
    assert sum(rows["classifier"]) <= 7 * (8 + 1) + 2
    if explainer is AblationCam:
        # A pass an image, in which all but the last layers look at a single image.
        assert rows["conv1"] == [7] + [1] * 8


def many_channels(count: int) -> nn.Module:
    torch.manual_seed(0)
    parts = [nn.Conv2d(1, count, 1), nn.ReLU(), nn.Flatten(), nn.Linear(4 * count, 2)]
    model = nn.Sequential(*parts).requires_grad_(False)
    model.get_parameter("0.bias").fill_(5)
    return model.eval()


@pytest.mark.parametrize("explainer", EXPLAINERS)
@pytest.mark.parametrize(("images", "passes"), [(1, [32, 32, 32, 4]), (40, [40] * 100)])
def test_a_batch_of_one_image_has_no_passes_of_one_row(
    explainer: type[PerturbationCam], images: int, passes: list[int]
) -> None:
    """A pass has the rows of the batch, or 32 if the batch has fewer."""
    model, rows = many_channels(100), []
    model.get_submodule("3").register_forward_hook(
        lambda module, given, output: rows.append(len(output))
    )
    zero = torch.zeros(images, dtype=torch.int64)
    explainer(layer="1").explain(ImageBatch(model, IMAGE.repeat(images, 1, 1, 1), zero, zero, "x"))
    if explainer is AblationCam and images > 1:
        # Image by image, each in as few passes as there can be.
        passes = [40, 40, 20] * images
    # The batch comes first, and then what is asked once a batch.
    assert rows == [images, 1 if explainer is ScoreCam else 2, *passes]


class Failing(nn.Module):
    """Fails in every pass but the first, in one way or another."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.layer, self.head = nn.Conv2d(1, 2, 1), nn.Linear(8, 2)
        self.error, self.passes = error, 0

    def forward(self, images: Tensor) -> Tensor:
        self.passes += 1
        logits: Tensor = self.head(self.layer(images).flatten(1))
        if self.passes == 2:
            raise self.error
        return logits


def test_a_lack_of_memory_is_not_taken_for_the_network_s_form() -> None:
    other = Failing(RuntimeError("sizes differ")).requires_grad_(False)
    AblationCam(layer="layer").explain(ImageBatch(other, IMAGE, ZERO, ZERO, "x"))
    short = Failing(torch.OutOfMemoryError("out of memory")).requires_grad_(False)
    with pytest.raises(torch.OutOfMemoryError):
        AblationCam(layer="layer").explain(ImageBatch(short, IMAGE, ZERO, ZERO, "x"))


class NotANumberAlone(nn.Module):
    """Gives NaN for one image whose layer has two outputs, and else the right logits."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(1, 2, 1)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.layer(images).mean(dim=(2, 3))
        return logits if len(logits) == len(images) else logits * torch.nan


def test_nan_means_that_the_image_must_be_repeated() -> None:
    model = NotANumberAlone().requires_grad_(False)
    maps = AblationCam(layer="layer").explain(ImageBatch(model, IMAGE, ZERO, ZERO, "x"))
    assert maps.isfinite().all()


@pytest.mark.parametrize("explainer", EXPLAINERS)
def test_dead_channels_are_not_tried(
    explainer: type[PerturbationCam], network: nn.Module, batch: Batch
) -> None:
    network.get_parameter("conv2.weight")[1:] = 0
    network.get_parameter("conv2.bias")[1:] = 0
    tried: list[int] = []
    network.get_submodule("classifier").register_forward_hook(
        lambda module, given, output: tried.append(len(output))
    )
    maps = explainer(layer="conv2_relu").explain(ImageBatch(network, *batch, "x"))
    assert sum(tried) <= 7 * 2 + 2
    assert maps.isfinite().all()


class Around(nn.Module):
    """A layer with something beside it: a sum or a concatenation."""

    def __init__(self, how: str) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.how = how
        self.stem, self.layer = nn.Conv2d(1, 4, 3), nn.Conv2d(4, 4, 3, padding=1)
        self.relu, self.head = nn.ReLU(), nn.Linear(8 if how == "concatenation" else 4, 10)

    def forward(self, images: Tensor) -> Tensor:
        hidden: Tensor = self.stem(images)
        branch = self.layer(hidden)
        parts = [hidden, branch]
        hidden = torch.cat(parts, dim=1) if self.how == "concatenation" else hidden + branch
        logits: Tensor = self.head(self.relu(hidden).mean(dim=(2, 3)))
        return logits


@pytest.mark.parametrize("how", ["sum", "concatenation"])
def test_ablation_cam_sees_what_goes_around_the_layer(how: str, batch: Batch) -> None:
    model = Around(how).eval().requires_grad_(False)
    images, targets, _ = batch
    found = AblationCam(layer="layer").explain(ImageBatch(model, *batch, "x"))
    kept: list[Tensor] = []
    handle = model.layer.register_forward_hook(lambda module, given, out: kept.append(out))
    whole = model(images)
    handle.remove()
    weights = []
    for channel in range(4):
        without = kept[0].clone()
        without[:, channel] = 0
        handle = model.layer.register_forward_hook(lambda *_, without=without: without)
        weights.append((whole - model(images)).gather(1, targets[:, None]))
        handle.remove()
    expected = torch.einsum("nchw,nc->nhw", kept[0], torch.cat(weights, dim=1)).clamp_min(0)
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-4)
    assert expected.any()


@pytest.mark.parametrize("explainer", EXPLAINERS)
def test_the_cost_is_stated_for_the_channels(
    explainer: type[PerturbationCam], network: nn.Module, batch: Batch
) -> None:
    assert explainer().facts()["cost"] == explainer.cost == 513
    assert explainer(channels=8).facts()["cost"] == 9
    with pytest.raises(InputError, match="layer 'conv2' has 8 channels; set the parameter"):
        explainer(layer="conv2", channels=7).explain(ImageBatch(network, *batch, "x"))
    with pytest.raises(InputError, match="channels is 0, but must be at least 1"):
        explainer(channels=0)
