"""The toy of two regions: shares by hand, the solver's promise, and what comes out."""

import math

import pytest
import torch

from sparsight.spade import toy
from sparsight.spade.solvers import ObsFast, SampleMagnitude

LARGER, SMALLER = toy.REGIONS


@pytest.fixture(scope="module")
def trained():
    return toy.train_unit(0)


def test_shares_are_sums_over_regions():
    where = [region.holds(toy.plane()).view(toy.GRID, toy.GRID) for region in toy.REGIONS]
    values = 2.0 * where[0] + 4.0 * where[1]
    total = 2.0 * where[0].sum() + 4.0 * where[1].sum() + 8.0
    values[0, 0] = 8.0
    found = toy.shares(values, SMALLER, LARGER)
    assert found["own_region"] == pytest.approx(float(4 * where[1].sum() / total))
    assert found["other_region"] == pytest.approx(float(2 * where[0].sum() / total))
    assert found["elsewhere"] == pytest.approx(float(8 / total))
    silent = toy.shares(torch.zeros(toy.GRID, toy.GRID), LARGER, SMALLER)
    assert all(math.isnan(value) for value in silent.values())


def test_rows_of_the_plane_go_upwards():
    points = toy.plane().view(toy.GRID, toy.GRID, 2)
    assert points[0, 0].tolist() == [-toy.REACH, -toy.REACH]
    assert points[-1, 0].tolist() == [-toy.REACH, toy.REACH]
    assert LARGER.radius > SMALLER.radius


def test_the_unit_answers_to_both_regions(trained):
    network, points, inside = trained
    assert ((network(points)[:, 0] > 0) == inside).double().mean() > 0.98
    found = toy.shares(toy.activation(network), LARGER, SMALLER)
    assert found["own_region"] > 5 * found["other_region"] > 0.1
    assert found["elsewhere"] < 0.05


def test_pruning_leaves_the_first_layer_and_the_network(trained):
    network, _, _ = trained
    before = [p.clone() for p in network.parameters()]
    copied = toy.pruned_for(network, toy.sample_of(LARGER, 0), ObsFast(), 0.5)
    assert all(torch.equal(*pair) for pair in zip(network.parameters(), before, strict=True))
    assert torch.equal(copied[0].weight, network[0].weight)
    for place in (2, 4):
        assert int((copied[place].weight == 0).sum()) == copied[place].weight.numel() // 2


def test_the_solver_holds_the_sample_better_than_the_control(trained):
    network, _, _ = trained
    for place, region in enumerate(toy.REGIONS):
        sample = toy.sample_of(region, place)
        errors = [
            float((toy.pruned_for(network, sample, solver, 0.5)(sample) - network(sample)).std())
            for solver in (ObsFast(), SampleMagnitude())
        ]
        assert errors[0] < errors[1]


def test_half_of_the_weights_gone_isolate_the_smaller_region(trained):
    network, _, _ = trained
    before = toy.shares(toy.activation(network), SMALLER, LARGER)["own_region"]
    sample = toy.sample_of(SMALLER, 1)
    own, control = (
        toy.shares(toy.activation(toy.pruned_for(network, sample, s, 0.5)), SMALLER, LARGER)
        for s in (ObsFast(), SampleMagnitude())
    )
    assert before < 0.1
    assert own["own_region"] > 0.9
    assert control["own_region"] < 0.1


def test_the_job_writes_a_row_for_each_pruning(tmp_path, monkeypatch):
    import pandas as pd

    from sparsight.io.arrays import read_arrays

    monkeypatch.setattr(toy, "NETWORKS", 1)
    monkeypatch.setattr(toy, "SPARSITIES", (0.5,))
    files = tmp_path / "toy.csv", tmp_path / "toy.safetensors"
    toy.prune_toy({"threads": 1}, table=files[0], planes=files[1])
    frame = pd.read_csv(files[0])
    assert list(zip(frame["scenario"], frame["solver"], frame["sparsity"], strict=True)) == [
        (scenario, *pruned)
        for scenario in (1, 2)
        for pruned in (("dense", 0.0), ("obs_fast", 0.5), ("magnitude", 0.5))
    ]
    dense = frame[frame["solver"] == "dense"]
    assert dense["own_region"].iloc[0] == pytest.approx(dense["other_region"].iloc[1])
    found = read_arrays(files[1])
    assert found["obs_fast"].shape == (2, toy.GRID, toy.GRID)
    assert not torch.equal(found["obs_fast"][0], found["obs_fast"][1])
    assert torch.equal(found["magnitude"][0], found["magnitude"][1])
