"""Statistics of batch normalisation, measured anew."""

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import update_bn

from sparsight.io.errors import InputError
from sparsight.training.loop import Recalibration, recalibrate


@pytest.fixture
def images():
    draw = torch.Generator().manual_seed(3)
    return torch.randint(0, 256, (23, 3, 6, 6), dtype=torch.uint8, generator=draw)


def network():
    torch.manual_seed(0)
    found = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 5, 3), nn.BatchNorm2d(5)
    )
    for norm in (found[1], found[4]):
        norm.running_mean.fill_(7)
        norm.running_var.fill_(9)
    return found


def test_one_batch_gives_its_own_mean_and_variance(images):
    found = network()
    before = {name: value.clone() for name, value in found.state_dict().items()}
    measured = recalibrate(found, images, Recalibration(images=100, batch_size=100), seed=1)
    with torch.no_grad():
        first = found[0](images.float() / 255)
        mean = first.mean((0, 2, 3))
        variance = first.var((0, 2, 3), unbiased=True)
        normal = (first - mean[:, None, None]) / torch.sqrt(
            first.var((0, 2, 3), unbiased=False)[:, None, None] + found[1].eps
        )
        second = found[3](normal.relu())
    torch.testing.assert_close(found[1].running_mean, mean)
    torch.testing.assert_close(found[1].running_var, variance)
    torch.testing.assert_close(found[4].running_mean, second.mean((0, 2, 3)))
    torch.testing.assert_close(found[4].running_var, second.var((0, 2, 3), unbiased=True))
    for name, value in found.state_dict().items():
        assert torch.equal(value, before[name]) == (name not in measured), name
    assert not any(module.training for module in found.modules())
    assert found[1].momentum == 0.1


def test_batches_are_averaged_as_torch_does(images):
    # all 23 are drawn, and three whole batches of 7 are taken of them
    found, other, taken = network(), network(), []
    found.register_forward_pre_hook(lambda _, inputs: taken.append(inputs[0].clone()))
    recalibrate(found, images, Recalibration(images=100, batch_size=7), seed=1)
    assert [len(batch) for batch in taken] == [7, 7, 7]
    update_bn(taken, other)
    for name, value in other.state_dict().items():
        torch.testing.assert_close(found.state_dict()[name], value)


def test_images_are_drawn_once_for_a_seed(images):
    def statistics(seed):
        found = network()
        recalibrate(found, images, Recalibration(images=8, batch_size=4), seed)
        return found[1].running_mean

    assert torch.equal(statistics(1), statistics(1))
    assert not torch.equal(statistics(1), statistics(2))


def test_dropout_drops_nothing(images):
    found = network()
    dropping = nn.Sequential(found[0], nn.Dropout(0.9), *network()[1:])
    recalibrate(found, images, Recalibration(images=100, batch_size=23), seed=1)
    recalibrate(dropping, images, Recalibration(images=100, batch_size=23), seed=1)
    assert torch.equal(dropping[2].running_var, found[1].running_var)


def test_a_network_without_batch_normalisation_is_refused(images):
    with pytest.raises(InputError, match="recalibrate_batch_norm"):
        recalibrate(nn.Conv2d(3, 4, 3), images, Recalibration(images=8, batch_size=4), seed=1)
