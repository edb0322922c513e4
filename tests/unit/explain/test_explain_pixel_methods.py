"""What holds for all pixel methods: nothing depends on the batch, and nothing stays behind."""

import pytest
import torch
from torch import Tensor, nn

from sparsight.explain.base import Explainer, ImageBatch, build_explainers
from sparsight.explain.registry import EXPLAINERS
from sparsight.io.errors import InputError

Batch = tuple[Tensor, Tensor, Tensor]
# method to parameters that are quick
METHODS = {
    "input_x_gradient": {},
    "smooth_grad": {"n_samples": 3},
    "guided_backprop": {},
    "deep_lift": {},
    "gradient_shap": {"n_samples": 3, "noise": 0.1},
    "occlusion": {"window": 7, "stride": 6},
}
RANDOM = ["smooth_grad", "gradient_shap"]


def build(method: str, **parameters: object) -> Explainer:
    entry = {"method": method, "parameters": {**METHODS[method], **parameters}}
    return build_explainers({"x": entry})["x"]


@pytest.mark.parametrize("method", METHODS)
def test_batch_size_and_order_do_not_matter(network: nn.Module, batch: Batch, method: str) -> None:
    images, targets, ids = batch
    whole = build(method).explain(ImageBatch(network, images, targets, ids, "x"))
    order = [4, 0, 6, 2, 1, 5, 3]
    single = [
        build(method).explain(
            ImageBatch(network, images[i : i + 1], targets[i : i + 1], ids[i : i + 1], "x")
        )
        for i in order
    ]
    shuffled = build(method).explain(
        ImageBatch(network, images[order], targets[order], ids[order], "x")
    )
    assert whole.abs().amax(dim=(1, 2)).min() > 1e-4
    torch.testing.assert_close(torch.cat(single), whole[order], atol=1e-6, rtol=1e-4)
    torch.testing.assert_close(shuffled, whole[order], atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("method", RANDOM)
def test_randomness_belongs_to_image_and_name_and_to_nothing_global(
    network: nn.Module, batch: Batch, method: str
) -> None:
    images, targets, ids = batch
    torch.manual_seed(0)
    state = torch.get_rng_state()
    first = build(method).explain(ImageBatch(network, images, targets, ids, "x"))
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(1)
    assert torch.equal(build(method).explain(ImageBatch(network, images, targets, ids, "x")), first)
    other_name = build(method).explain(ImageBatch(network, images, targets, ids, "y"))
    other_ids = build(method).explain(ImageBatch(network, images, targets, ids + 1, "x"))
    assert not torch.allclose(other_name, first, atol=1e-4)
    assert not torch.allclose(other_ids, first, atol=1e-4)


@pytest.mark.parametrize("method", METHODS)
def test_a_pass_holds_one_batch_and_leaves_nothing_behind(
    network: nn.Module, batch: Batch, method: str
) -> None:
    rows: list[int] = []
    handle = network.get_submodule("conv1").register_forward_hook(
        lambda module, given, output: rows.append(len(output))
    )
    copy = batch[0].clone()
    found = build(method).explain(ImageBatch(network, *batch, "x"))
    handle.remove()
    # DeepLIFT carries its baseline along.
    assert max(rows) <= len(batch[0]) + (method == "deep_lift")
    assert found.shape == (7, 28, 28)
    assert found.dtype == torch.float32
    assert not found.requires_grad
    assert torch.equal(batch[0], copy)
    assert batch[0].grad is None
    assert all(
        not table
        for module in network.modules()
        for attribute, table in vars(module).items()
        if attribute.endswith("_hooks")
    )


@pytest.mark.parametrize("method", METHODS)
def test_targets_that_are_no_class_are_refused_and_leave_no_hooks(
    network: nn.Module, batch: Batch, method: str
) -> None:
    images, targets, ids = batch
    with pytest.raises(InputError, match="cannot be explained"):
        build(method).explain(ImageBatch(network, images, targets + 7, ids, "x"))
    assert not network.get_submodule("conv1_relu")._forward_hooks
    assert not network.get_submodule("conv1_relu")._forward_pre_hooks


@pytest.mark.parametrize("method", METHODS)
def test_facts_are_literal_and_those_of_the_defaults(method: str) -> None:
    literal = EXPLAINERS.facts(method)
    facts = build_explainers({"x": {"method": method}})["x"].facts()
    assert literal["name"] == method
    for fact in ("reference", "signed", "reduction", "value_range", "cost", "native"):
        assert facts[fact] == literal[fact]
    assert (literal["native"], literal["interpolation"]) == ("pixel", "none")


@pytest.mark.parametrize(
    ("method", "parameters", "cost"),
    [
        ("smooth_grad", {"n_samples": 7}, 21),
        ("gradient_shap", {"n_samples": 7}, 21),
        # 28 = 4 + 12 * 2; 28 < 7 + 4 * 6, so the fifth window is cut; one window for all.
        ("occlusion", {"window": 4, "stride": 2}, 13**2 + 1),
        ("occlusion", {"window": 7, "stride": 6}, 5**2 + 1),
        ("occlusion", {"window": 28, "stride": 28}, 2),
    ],
)
def test_cost_follows_the_parameters(
    method: str, parameters: dict[str, int], cost: int, network: nn.Module, batch: Batch
) -> None:
    explainer = build(method, **parameters)
    assert explainer.facts()["cost"] == cost
    passes: list[int] = []
    handle = network.get_submodule("conv1").register_forward_hook(
        lambda module, given, output: passes.append(1)
    )
    explainer.explain(ImageBatch(network, *(part[:1] for part in batch), "x"))
    handle.remove()
    assert len(passes) * (1 if method == "occlusion" else 3) == cost


@pytest.mark.parametrize(
    ("method", "parameters", "sentence"),
    [
        ("smooth_grad", {"n_samples": 0}, "n_samples is 0"),
        ("smooth_grad", {"noise": -0.1}, "noise is -0.1"),
        ("gradient_shap", {"n_samples": 0}, "n_samples is 0"),
        ("gradient_shap", {"noise": float("nan")}, "noise is nan"),
        ("gradient_shap", {"baseline_maximum": -1}, "baseline_maximum is -1"),
        ("occlusion", {"window": 0}, "window is 0"),
        ("occlusion", {"window": 3, "stride": 4}, "stride is 4, but must be from 1 to the window"),
        ("occlusion", {"stride": 0}, "stride is 0"),
        ("deep_lift", {"baseline": 0}, "unknown parameter 'baseline'"),
    ],
)
def test_unusable_parameters(method: str, parameters: dict[str, float], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        build(method, **parameters)
