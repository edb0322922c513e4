"""Fidelity of a copy: numbers by hand, and against torch's own divergence."""

import copy
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from sparsight.io.errors import InputError
from sparsight.spade.copies import fidelity, logit_fidelity, measured_density


def test_by_hand() -> None:
    # the network says 1/2, 1/4, 1/4; the copy 1/4, 1/2, 1/4
    network = torch.tensor([[2.0, 1.0, 1.0]]).log()
    other = torch.tensor([[1.0, 2.0, 1.0]]).log() + 5
    found = logit_fidelity(
        network.repeat(2, 1), torch.cat((other, network - 3)), torch.tensor([0, 2])
    )
    assert found["same_prediction"].tolist() == [False, True]
    # (1/2) log 2 + (1/4) log(1/2)
    assert found["divergence"].tolist() == pytest.approx([0.25 * 0.6931472, 0.0], abs=1e-6)
    assert found["network_probability"].tolist() == pytest.approx([0.5, 0.25])
    assert found["copy_probability"].tolist() == pytest.approx([0.25, 0.25])
    assert found["divergence"].dtype == torch.float32


def test_the_divergence_is_that_of_torch_and_finite_for_far_logits() -> None:
    draw = torch.Generator().manual_seed(0)
    network, other = torch.randn(2, 9, 5, generator=draw) * 4
    found = logit_fidelity(network, other, torch.zeros(9, dtype=torch.int64))["divergence"]
    wanted = functional.kl_div(
        other.log_softmax(1), network.log_softmax(1), reduction="none", log_target=True
    ).sum(1)
    assert torch.allclose(found, wanted, atol=1e-5)
    far = logit_fidelity(
        torch.tensor([[300.0, 0.0]]), torch.tensor([[0.0, 300.0]]), torch.tensor([0])
    )
    assert far["divergence"].tolist() == pytest.approx([300.0])
    same = logit_fidelity(network, network, torch.zeros(9, dtype=torch.int64))
    assert same["divergence"].tolist() == [0.0] * 9


def test_of_networks(thesis: nn.Module, pictures: Any) -> None:
    images, _ = pictures(4, 1, 28)
    targets = torch.tensor([1, 2, 3, 4])
    copied = copy.deepcopy(thesis)
    with torch.no_grad():
        copied.conv2.weight[:2] = 0
        found = fidelity(thesis, copied, images, targets, ["conv2"])
        wanted = logit_fidelity(thesis(images), copied(images), targets)
    assert all(torch.equal(found[name], value) for name, value in wanted.items())
    assert found["divergence"].min() > 0
    assert found["density"].tolist() == [0.75] * 4
    assert measured_density(copied, ["conv2", "classifier"]) == pytest.approx(2216 / 2288)
    assert measured_density(copied, []) == 1.0
    assert thesis.training
    assert all(parameter.requires_grad for parameter in thesis.parameters())


def test_targets_that_are_no_class(thesis: nn.Module, pictures: Any) -> None:
    images, _ = pictures(1, 1, 28)
    with pytest.raises(InputError, match="targets from 10 to 10"):
        fidelity(thesis, thesis, images, torch.tensor([10]), [])
