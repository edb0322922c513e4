"""A study of a network that plain torch has trained and torch.nn.utils.prune has pruned."""

import csv
import json
from pathlib import Path

import pytest
import torch
from torch.nn.utils import prune

from sparsight.data.packed import PackedSplit
from sparsight.io.provenance import sha256_of
from sparsight.models.base import build_network
from sparsight.models.thesis_cnn import ThesisCnn
from tests.workflow.project import Project

MODEL = "results/tiny/digits/mine/seed1"
LAYERS = ("conv1", "conv2", "classifier")
STUDY = {
    "models": ["mine"],
    "pruners": ["theirs"],
    "explainers": ["saliency", "control_edges"],
    "agreement": [],
    "claims": [],
    "catalogue": {
        "models": {"mine": {"architecture": "thesis_cnn", "initial_weights": "runs/dense.pth"}},
        "pruners": {"theirs": {"given": "runs/level{level}.pth", "levels": 2}},
    },
}


def clean(path: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """All clean images and labels of a packed split."""
    with PackedSplit.open(path) as split:
        return split.select(torch.arange(len(split))).images("clean"), split.labels()


def made_elsewhere(packed: Path, folder: Path) -> dict[str, tuple[float, float]]:
    """Files of a dense network and two pruned ones; level to density and test accuracy by hand."""
    images, labels = clean(packed / "train.safetensors")
    test, truth = clean(packed / "test.safetensors")
    network = build_network(ThesisCnn, 10, 7)
    optimiser = torch.optim.Adam(network.parameters(), 0.01)
    draw = torch.Generator().manual_seed(7)
    for _ in range(3):
        for rows in torch.randperm(len(images), generator=draw).split(64):
            loss = torch.nn.functional.cross_entropy(network(images[rows]), labels[rows])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    folder.mkdir()
    found = {}
    for name, share in (("dense", 0.0), ("level1", 0.5), ("level2", 0.6)):
        where = [(network.get_submodule(layer), "weight") for layer in LAYERS]
        if share:
            prune.global_unstructured(where, prune.L1Unstructured, amount=share)
        torch.save({"state_dict": network.state_dict(), "epoch": 3}, folder / f"{name}.pth")
        with torch.no_grad():
            hits = network(test).argmax(1) == truth
        left = sum(int((module.weight != 0).sum()) for module, _ in where)
        found[name] = left / 2324, hits.double().mean().item()
    return found


@pytest.fixture
def project(fresh: Project) -> tuple[Project, dict[str, tuple[float, float]]]:
    """A project with prepared data and the files of the other tool."""
    fresh.run("--cores", "1", "--until", "prepare_dataset")
    by_hand = made_elsewhere(fresh.folder / "data/packed/digits", fresh.folder / "runs")
    fresh.configure(**STUDY)
    return fresh, by_hand


def test_networks_of_another_tool_go_all_the_way(
    project: tuple[Project, dict[str, tuple[float, float]]],
) -> None:
    fresh, by_hand = project
    planned = fresh.planned()
    assert planned["take_level"] == 2
    assert "prune_level" not in planned
    fresh.run("--cores", "1")
    assert by_hand["dense"][1] > 0.8
    assert by_hand["level2"][0] == pytest.approx(0.2, abs=1e-3)
    places = {"dense": "dense/level00", "level1": "theirs/level01", "level2": "theirs/level02"}
    for name, place in places.items():
        folder = fresh.folder / MODEL / place
        evaluation = json.loads((folder / "evaluation.json").read_text())
        density = evaluation["density"]["prunable"]
        accuracy = evaluation["splits"]["test"]["clean"]["accuracy"]
        assert (density, accuracy) == by_hand[name]
    with open(fresh.folder / "results/tiny/summary/levels.csv", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["explainer"] == "saliency"]
    assert {(row["pruner"], row["level"]) for row in rows} == {("theirs", n) for n in "012"}
    assert fresh.planned() == {}
    path = fresh.folder / MODEL / "theirs/level01/provenance.json"
    given = json.loads(path.read_text())["settings"]["given"]
    file = fresh.folder / "runs/level1.pth"
    assert given == {"runs/level1.pth": sha256_of(file)}

    # A file that changes is taken again, and one that is missing is named before any job.
    state = torch.load(file)["state_dict"]
    torch.save({**state, "conv1.bias": state["conv1.bias"] + 0.1}, file)
    assert fresh.planned()["take_level"] >= 1
    (fresh.folder / MODEL / "theirs/level02/checkpoint.safetensors").unlink()
    (fresh.folder / "runs/level2.pth").unlink()
    done = fresh.call("--dry-run")
    assert done.returncode != 0
    text = done.stdout + done.stderr
    assert "catalogue.pruners.theirs.given: runs/level2.pth does not exist" in text
