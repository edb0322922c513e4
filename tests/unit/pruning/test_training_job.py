"""What a training job builds: networks with options, judges, and the selection that it writes."""

import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from sparsight.pruning.masks import dense_masks
from sparsight.pruning.rounds import (
    Job,
    judges_of,
    new_network,
    training_data,
    write_level,
)
from sparsight.training.loop import Outcome, Recipe, Stream, cpu_state, train

Make = Callable[..., Job]


def test_a_network_has_the_options_of_its_job(make_job: Make) -> None:
    job = make_job(architecture="resnet18", options={"width": 2, "stem": "small"})
    network = new_network(job, 4)
    assert network.options == {"width": 2, "stem": "small", "normalisation": "imagenet"}
    assert new_network(make_job(), 4).options == {}


def test_judges_are_the_splits_that_hold_images_and_are_wanted(
    make_job: Make, quarters: dict[str, Path]
) -> None:
    assert set(judges_of(make_job())) == set()
    with_validation = {**quarters, "validation": quarters["test"]}
    assert set(judges_of(replace(make_job(), splits=with_validation))) == {"validation"}
    best = {**make_job().settings["retraining"], "select": "best_test"}
    job = replace(make_job(retraining=best), splits=with_validation)
    assert set(judges_of(job)) == {"validation", "test"}
    assert set(judges_of(make_job(training=best))) == {"test"}


@pytest.fixture
def selecting(make_job: Make) -> Job:
    """A job whose recipe selects by the test split."""
    recipe = {**make_job().settings["retraining"], "select": "best_test"}
    return make_job(retraining=recipe)


def evaluation(job: Job, network: Any, folder: Path, outcome: Outcome | None) -> Any:
    """What a level says of its network."""
    folder.mkdir()
    write_level(job, network, dense_masks(network), folder, "hash", time.perf_counter(), outcome)
    return json.loads((folder / "evaluation.json").read_text())


def test_a_level_tells_what_was_selected_and_what_the_last_epoch_was(
    selecting: Job, tmp_path: Path
) -> None:
    job = selecting
    data, _, class_count = training_data(job)
    network = new_network(job, class_count)
    recipe = Recipe(**job.settings["retraining"])
    outcome = train(network, data, recipe, Stream(1, "dense/level00"), masks={})
    judged = [entry["test_accuracy"] for entry in outcome.history]
    written = evaluation(job, network, tmp_path / "a", outcome)
    selection = written["selection"]
    assert selection["rule"] == "best_test"
    assert selection["epoch"] == 1 + judged.index(max(judged)) == outcome.epoch
    assert selection["history"] == outcome.history
    # what was judged is what is reported
    assert written["splits"]["test"]["clean"]["accuracy"] == max(judged)


def test_the_last_network_is_evaluated_and_the_selected_one_is_kept(
    selecting: Job, tmp_path: Path
) -> None:
    network, last = new_network(selecting, 4), cpu_state(new_network(selecting, 4))
    last["classifier.bias"] = torch.tensor([0.0, 1e6, 0.0, 0.0])  # always the second class
    before = cpu_state(network)
    history = [{"epoch": 1}, {"epoch": 2}]
    outcome = Outcome("best_test", 1, history, last)
    written = evaluation(selecting, network, tmp_path / "a", outcome)
    assert written["selection"]["last"]["epoch"] == 2
    assert written["selection"]["last"]["splits"]["test"]["clean"]["accuracy"] == 0.25
    assert all(torch.equal(before[key], value) for key, value in cpu_state(network).items())
    plain = evaluation(selecting, network, tmp_path / "b", None)
    assert "selection" not in plain
    assert plain["splits"] == written["splits"]
