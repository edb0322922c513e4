"""Levels from files of other tools: every format, what is measured, and what is refused."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch.nn.utils import prune

from sparsight.data.packed import PackedSplit
from sparsight.io.checkpoints import Checkpoint, Tensors, read_checkpoint, write_checkpoint
from sparsight.io.errors import InputError
from sparsight.io.provenance import sha256_of
from sparsight.models.base import build_network
from sparsight.models.foreign import ForeignArchitecture
from sparsight.models.networks import load_network
from sparsight.models.resnet import ResNet18
from sparsight.models.thesis_cnn import ThesisCnn
from sparsight.models.tracing import trace
from sparsight.pruning.given import take_level
from sparsight.pruning.rounds import Job

Make = Callable[..., Job]
LAYERS = ("conv1", "conv2", "classifier")
PRUNABLE = {"conv1.weight": 36, "conv2.weight": 288, "classifier.weight": 800}
CPU = torch.device("cpu")


def pruned(seed: int = 1, share: float = 0.5, classes: int = 4) -> ThesisCnn:
    """A network that torch.nn.utils.prune has pruned globally."""
    network = build_network(ThesisCnn, classes, seed)
    assert isinstance(network, ThesisCnn)
    where = [(network.get_submodule(name), "weight") for name in LAYERS]
    prune.global_unstructured(where, prune.L1Unstructured, amount=share)
    return network


def expected(network: ThesisCnn) -> tuple[Tensors, Tensors]:
    """Weights, masked, and masks of such a network."""
    masks = {f"{n}.weight": network.get_submodule(n).weight_mask.bool() for n in LAYERS}
    weights = {f"{n}.weight": network.get_submodule(n).weight.detach() for n in LAYERS}
    return weights | {f"{n}.bias": network.get_submodule(n).bias.detach() for n in LAYERS}, masks


def saved(form: str, network: ThesisCnn, folder: Path) -> list[Path]:
    """The network's file in one of the understood formats."""
    weights, masks = expected(network)
    path = folder / "level.pth"
    match form:
        case "torch prune":
            torch.save(network.state_dict(), path)
        case "nested":
            torch.save({"state_dict": network.state_dict(), "epoch": 3}, path)
        case "wrapped":
            torch.save({f"module.{k}": v for k, v in network.state_dict().items()}, path)
        case "compiled zeros":
            torch.save({"model": {f"_orig_mod.{k}": v for k, v in weights.items()}}, path)
        case "zeros":
            torch.save(weights, path)
        case "sparse":
            state = {k: v.to_sparse() if v.dim() > 1 else v for k, v in weights.items()}
            torch.save(state, path)
        case "half":
            torch.save({k: v.half() for k, v in weights.items()}, path)
        case "bfloat16":
            torch.save({k: v.bfloat16() for k, v in weights.items()}, path)
        case "safetensors":
            path = folder / "model.safetensors"
            save_file(weights, path, metadata={"format": "pt"})
        case "checkpoint":
            path = folder / "checkpoint.safetensors"
            write_checkpoint(path, Checkpoint(weights, masks, {}))
        case "OpenLTH":
            # After the last step of its optimiser, weights of its model are no longer masked.
            path = folder / "model_ep2_it0.pth"
            torch.save({f"model.{k}": v + 0.25 * (v == 0) for k, v in weights.items()}, path)
            torch.save({k: v.int() for k, v in masks.items()}, folder / "mask.pth")
            return [path, folder / "mask.pth"]
    return [path]


@pytest.fixture(scope="module")
def dense(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Checkpoint of a dense network, of which density is all that counts here."""
    path = tmp_path_factory.mktemp("dense") / "checkpoint.safetensors"
    masks = {name: torch.ones(count, dtype=torch.bool) for name, count in PRUNABLE.items()}
    write_checkpoint(path, Checkpoint({"x": torch.ones(1)}, masks, {}))
    return path


def given_job(make_job: Make, level: int = 1, **changes: Any) -> Job:
    return make_job("p", level, rewind="none", retraining={"epochs": 0}, **changes)


FORMS = (
    *("torch prune", "nested", "wrapped", "compiled zeros", "zeros", "sparse"),
    *("half", "bfloat16"),
    *("safetensors", "checkpoint", "OpenLTH"),
)


@pytest.mark.parametrize("form", FORMS)
def test_every_format_is_understood(
    make_job: Make, dense: Path, tmp_path: Path, form: str, quarters: dict[str, Path]
) -> None:
    network = pruned()
    files = saved(form, network, tmp_path)
    folder = tmp_path / "level01"
    take_level(given_job(make_job), files, dense, folder)
    found = read_checkpoint(folder / "checkpoint.safetensors")
    weights, masks = expected(network)
    precise = {"half": torch.float16, "bfloat16": torch.bfloat16}.get(form, torch.float32)
    assert found.masks.keys() == masks.keys()
    assert all(torch.equal(found.masks[name], masks[name]) for name in masks)
    for name, value in weights.items():
        assert torch.equal(found.weights[name], value.to(precise).float()), name
    evaluation = json.loads((folder / "evaluation.json").read_text())
    surviving = sum(int(mask.sum()) for mask in masks.values())
    assert evaluation["surviving"] == surviving == 562
    assert evaluation["prunable"] == 1124
    assert evaluation["density"]["prunable"] == found.density == 0.5
    assert found.metadata["epochs"] == "0"
    # What the file's own network answers, by hand.
    network.load_state_dict({k: v.to(precise).float() for k, v in network.state_dict().items()})
    with PackedSplit.open(quarters["test"]) as split, torch.no_grad():
        hits = (
            network.eval()(split.select(torch.arange(len(split))).images("clean")).argmax(1)
            == split.labels()
        )
    assert evaluation["splits"]["test"]["clean"]["accuracy"] == hits.double().mean().item()
    where = json.loads((folder / "provenance.json").read_text())["settings"]["given"]
    assert where == {str(file): sha256_of(file) for file in files}


def narrower() -> Tensors:
    """State of a network that has lost a filter of each convolution."""
    state = build_network(ThesisCnn, 4, 1).state_dict()
    state["conv1.weight"], state["conv1.bias"] = state["conv1.weight"][:3], state["conv1.bias"][:3]
    state["conv2.weight"] = state["conv2.weight"][:7, :3]
    state["conv2.bias"] = state["conv2.bias"][:7]
    state["classifier.weight"] = state["classifier.weight"][:, : 7 * 25]
    return state


def test_a_narrower_network_has_shares_of_the_dense_one(
    make_job: Make, dense: Path, tmp_path: Path, quarters: dict[str, Path]
) -> None:
    state = narrower()
    state["classifier.weight"][0, :10] = 0
    torch.save(state, tmp_path / "x.pth")
    take_level(given_job(make_job), [tmp_path / "x.pth"], dense, tmp_path / "level01")
    path = tmp_path / "level01" / "checkpoint.safetensors"
    facts = json.loads((tmp_path / "level01" / "evaluation.json").read_text())
    left = {"conv1": 27, "conv2": 189, "classifier": 700 - 10}
    assert facts["surviving"] == sum(left.values())
    assert facts["prunable"] == 1124
    density = facts["density"]
    assert density["prunable"] == density["nonzero"] == sum(left.values()) / 1124
    assert density["layers"] == {name: n / PRUNABLE[f"{name}.weight"] for name, n in left.items()}
    assert density["all_parameters"] == (sum(left.values()) + 3 + 7 + 4) / (1124 + 4 + 8 + 4)
    assert read_checkpoint(path).density == density["prunable"]

    network = load_network(path, CPU)
    with PackedSplit.open(quarters["test"]) as split, torch.no_grad():
        images, labels = split.select(torch.arange(len(split))).images("clean"), split.labels()
        logits = network(images)
        hidden = torch.relu(torch.conv2d(images, state["conv1.weight"], state["conv1.bias"]))
        hidden = torch.max_pool2d(hidden, 2)
        hidden = torch.relu(torch.conv2d(hidden, state["conv2.weight"], state["conv2.bias"]))
        hidden = torch.max_pool2d(hidden, 2).flatten(1)
        by_hand = hidden @ state["classifier.weight"].T + state["classifier.bias"]
        assert network.feature_maps(images).shape[1] == 7
    assert torch.allclose(logits, by_hand, atol=1e-5)
    measured = facts["splits"]["test"]["clean"]["accuracy"]
    assert measured == (by_hand.argmax(1) == labels).double().mean().item()


FACTORY = """
from torch import nn


def make(num_classes, width=8):
    return nn.Sequential(
        nn.Conv2d(1, width, 3, 2),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        nn.Conv2d(width, width, 3, groups=width),
        nn.Conv2d(width, 2 * width, 1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(2 * width, num_classes),
    )
"""


def test_a_network_of_a_function_may_be_narrower(
    make_job: Make, dense: Path, tmp_path: Path
) -> None:
    (tmp_path / "net.py").write_text(FACTORY, encoding="utf-8")
    name = f"{tmp_path}/net.py:make"
    facts, _ = trace(ForeignArchitecture(name), 4, {}, (1, 28, 28))
    # What the function makes of another width is a network that has lost channels.
    slim, _ = trace(ForeignArchitecture(name), 4, {"width": 5}, (1, 28, 28))
    other = ForeignArchitecture(name).build(4, 3, {"width": 5}, slim["traced"]).eval()
    torch.save(other.state_dict(), tmp_path / "x.pth")
    job = given_job(make_job, architecture=name, options={}, traced=facts["traced"])
    take_level(job, [tmp_path / "x.pth"], dense, tmp_path / "level01")
    path = tmp_path / "level01" / "checkpoint.safetensors"
    network = load_network(path, CPU)
    images = torch.rand(3, 1, 28, 28)
    with torch.no_grad():
        assert torch.equal(network(images), other(images))
        assert network.class_logits(network.feature_maps(images)).shape == (3, 4)
    kernels = {8: 8 * 9 + 8 * 9 + 16 * 8 + 4 * 16, 5: 5 * 9 + 5 * 9 + 10 * 5 + 4 * 10}
    assert read_checkpoint(path).density == kernels[5] / kernels[8]


def test_names_of_another_library_and_classes_of_imagenet_are_understood(
    make_job: Make, dense: Path, tmp_path: Path
) -> None:
    """The same layers in the same order under other names, with 1,000 classes."""
    network = pruned(classes=1000)
    rows, names = [7, 0, 999, 3], {"conv1": "_stem", "conv2": "_next", "classifier": "_fc"}
    state = network.state_dict()
    # torch.nn.utils.prune puts masked weights behind biases.
    ends = ("weight_orig", "weight_mask", "bias")
    files = [tmp_path / "x.pth"]
    torch.save({f"{names[n]}.{e}": state[f"{n}.{e}"] for n in LAYERS for e in ends}, files[0])
    with pytest.raises(InputError, match=r"conv1\.weight"):
        take_level(given_job(make_job), files, dense, tmp_path / "none")
    ordered = {f"{n}.{e}": None for n in LAYERS for e in ("weight", "bias")}
    weights, masks = expected(network)
    torch.save(
        {f"{names[k.split('.')[0]]}.{k.split('.')[1]}": weights[k] for k in ordered}, files[0]
    )
    take_level(given_job(make_job, imagenet_classes=rows), files, dense, tmp_path / "level01")
    found = read_checkpoint(tmp_path / "level01" / "checkpoint.safetensors")
    assert torch.equal(found.weights["conv2.weight"], weights["conv2.weight"])
    assert torch.equal(found.weights["classifier.weight"], weights["classifier.weight"][rows])
    assert torch.equal(found.masks["classifier.weight"], masks["classifier.weight"][rows])


def test_density_may_not_rise(make_job: Make, dense: Path, tmp_path: Path) -> None:
    for share in (0.5, 0.4, 0.6):
        torch.save(pruned(share=share).state_dict(), tmp_path / f"{share}.pth")
    first = tmp_path / "level01"
    take_level(given_job(make_job), [tmp_path / "0.5.pth"], dense, first)
    before, job = first / "checkpoint.safetensors", given_job(make_job, 2)
    with pytest.raises(InputError) as caught:
        take_level(job, [tmp_path / "0.4.pth"], before, tmp_path / "level02")
    assert {str(tmp_path / "0.4.pth"), str(tmp_path / "0.5.pth")} <= set(
        str(caught.value).replace(";", " ").replace(",", " ").split()
    )
    assert not (tmp_path / "level02").exists()
    # Masks need not be nested, and a density may stay.
    torch.save(pruned(seed=2).state_dict(), tmp_path / "other.pth")
    take_level(job, [tmp_path / "other.pth"], before, tmp_path / "level02")
    take_level(job, [tmp_path / "0.6.pth"], before, tmp_path / "level02")


def with_mask(value: float) -> Tensors:
    state = pruned().state_dict()
    state["conv2.weight_mask"][0, 0, 0, 0] = value
    return state


def with_weight(key: str, value: Any) -> Tensors:
    return {**narrower(), key: value}


WRONG: dict[str, tuple[Callable[[], Tensors], list[str]]] = {
    "a mask that is none": (lambda: with_mask(0.5), ["conv2.weight_mask", "0 and 1"]),
    "a mask of NaN": (lambda: with_mask(float("nan")), ["conv2.weight_mask", "0 and 1"]),
    "NaN": (lambda: with_weight("conv1.bias", torch.full((3,), torch.nan)), ["conv1.bias"]),
    "integers": (
        lambda: with_weight("conv1.bias", torch.ones(3, dtype=torch.int8)),
        ["conv1.bias", "int8"],
    ),
    "other classes": (
        lambda: pruned(classes=3).state_dict(),
        ["classifier.weight", "[3, 200]", "[4, 200]"],
    ),
    "another architecture": (
        lambda: build_network(ResNet18, 4, 0, {"width": 2}).state_dict(),
        ["conv1.bias", "[4]", "missing"],
    ),
    "a wider layer": (
        lambda: with_weight("conv1.weight", torch.ones(5, 1, 3, 3)),
        ["conv1.weight", "[5, 1, 3, 3]", "[4, 1, 3, 3]"],
    ),
    "another kernel": (
        lambda: with_weight("conv1.weight", torch.ones(3, 1, 5, 5)),
        ["conv1.weight", "[3, 1, 5, 5]", "[4, 1, 3, 3]"],
    ),
    "a weight more": (
        lambda: {**narrower(), "extra.weight": torch.ones(2)},
        ["extra.weight", "[2]", "unknown"],
    ),
    "layers that do not fit": (
        lambda: with_weight("classifier.weight", torch.ones(4, 150)),
        ["does not run", "thesis_cnn"],
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_files_that_do_not_fit_are_refused_by_key_and_shape(
    make_job: Make, dense: Path, tmp_path: Path, case: str
) -> None:
    make, parts = WRONG[case]
    path, folder = tmp_path / "x.pth", tmp_path / "level01"
    torch.save(make(), path)
    with pytest.raises(InputError) as caught:
        take_level(given_job(make_job), [path], dense, folder)
    for part in (str(path), *parts):
        assert part in str(caught.value)
    assert not folder.exists()


@pytest.mark.parametrize(
    ("key", "mask", "word"),
    [
        ("conv1.weight", torch.ones(4, 1, 3, 2), "[4, 1, 3, 2]"),
        ("conv1.weight", torch.full((4, 1, 3, 3), 2), "0 and 1"),
        ("conv9.weight", torch.ones(4), "unknown"),
    ],
)
def test_masks_in_a_file_of_their_own_are_checked(
    make_job: Make, dense: Path, tmp_path: Path, key: str, mask: torch.Tensor, word: str
) -> None:
    files = saved("OpenLTH", pruned(), tmp_path)
    torch.save({key: mask}, files[1])
    with pytest.raises(InputError) as caught:
        take_level(given_job(make_job), files, dense, tmp_path / "level01")
    assert all(part in str(caught.value) for part in (str(files[1]), key, word))
