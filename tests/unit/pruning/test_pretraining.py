"""The rewind point of networks that do not start at random."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from sparsight.io.checkpoints import Checkpoint, Tensors, read_groups, write_checkpoint
from sparsight.io.errors import InputError
from sparsight.models.base import build_network
from sparsight.models.thesis_cnn import ThesisCnn
from sparsight.pruning import rounds
from sparsight.pruning.rounds import Job, make_rewind_point
from sparsight.training import loop
from tests.unit.pruning.conftest import RECIPE, write_split

Make = Callable[..., Job]
BODY = ("conv1.weight", "conv1.bias", "conv2.weight", "conv2.bias")
CLASSIFIER = ("classifier.weight", "classifier.bias")


def points(job: Job, folder: Path, **inputs: Any) -> dict[str, Tensors]:
    """Groups of the file that a job makes."""
    output = folder / "start.safetensors"
    make_rewind_point(job, output, **inputs)
    return read_groups(output)


def differ(a: Tensors, b: Tensors, keys: tuple[str, ...]) -> list[bool]:
    return [not torch.equal(a[key], b[key]) for key in keys]


def saved(folder: Path, class_count: int) -> tuple[Path, Tensors]:
    """A file of weights and what it holds."""
    state = build_network(ThesisCnn, class_count, 99).state_dict()
    torch.save(state, folder / "weights.pth")
    return folder / "weights.pth", state


@pytest.mark.parametrize(
    ("given", "classes", "own"),
    [("path", 4, False), ("path", 9, True), ("imagenet", 4, True)],
)
def test_the_start_is_the_weights_and_a_classifier(
    make_job: Make, tmp_path: Path, given: str, classes: int, own: bool
) -> None:
    path, weights = saved(tmp_path, classes)
    job = make_job(training=None, initial_weights=given)
    found = points(job, tmp_path, weights=path)
    assert not any(differ(found["pretrained"], weights, BODY))
    # the random initialisation stays a rewind point of its own
    assert all(differ(found["init"], weights, BODY))
    source = found["init"] if own else weights
    assert not any(differ(found["pretrained"], source, CLASSIFIER))
    # other seeds draw another classifier
    other = points(make_job(seed=2, training=None, initial_weights=given), tmp_path, weights=path)
    assert all(differ(found["pretrained"], other["pretrained"], CLASSIFIER)) is own


def test_a_checkpoint_of_ours_is_a_start_too(make_job: Make, tmp_path: Path) -> None:
    _, weights = saved(tmp_path, 4)
    path = tmp_path / "checkpoint.safetensors"
    masks = {"conv1.weight": torch.ones(4, 1, 3, 3, dtype=torch.bool)}
    write_checkpoint(path, Checkpoint(weights, masks, {}))
    found = points(make_job(training=None, initial_weights=str(path)), tmp_path, weights=path)
    assert not any(differ(found["pretrained"], weights, (*BODY, *CLASSIFIER)))


def test_a_classifier_that_nothing_will_train_must_fit(make_job: Make, tmp_path: Path) -> None:
    path, _ = saved(tmp_path, 9)
    job = make_job(training=None, initial_weights=str(path), untrained=True)
    with pytest.raises(InputError, match=r"classifier\.weight is \[9, 200\], but \[4, 200\]"):
        points(job, tmp_path, weights=path)
    assert not (tmp_path / "start.safetensors").exists()
    path, weights = saved(tmp_path, 4)
    found = points(job, tmp_path, weights=path)
    assert not any(differ(found["pretrained"], weights, (*BODY, *CLASSIFIER)))


@pytest.fixture(scope="module")
def halves(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Packed splits of another data set, of two classes."""
    folder = tmp_path_factory.mktemp("halves")
    counts = {"train": 48, "validation": 0, "test": 8}
    return [
        write_split(folder / f"{name}.safetensors", count, 20, class_count=2)
        for name, count in counts.items()
    ]


def elsewhere(**changes: Any) -> dict[str, Any]:
    recipe = {**RECIPE, **changes}
    return {"dataset": "halves", "recipe": recipe, "noise_maximum": 0}


def test_training_elsewhere_changes_the_body_and_not_the_classifier(
    make_job: Make, tmp_path: Path, halves: list[Path]
) -> None:
    job = make_job(training=None, pretraining=elsewhere())
    found = points(job, tmp_path, pretraining=halves)
    assert all(differ(found["pretrained"], found["init"], BODY))
    assert not any(differ(found["pretrained"], found["init"], CLASSIFIER))
    assert found["pretrained"]["classifier.weight"].shape == (4, 200)
    # nothing but the start stays behind
    assert [path.name for path in tmp_path.iterdir()] == ["start.safetensors"]
    # and the study's own recipe goes on from there
    whole = points(make_job(pretraining=elsewhere()), tmp_path, pretraining=halves)
    alone = points(make_job(), tmp_path)
    assert all(differ(whole["pretrained"], found["pretrained"], (*BODY, *CLASSIFIER)))
    assert all(differ(whole["pretrained"], alone["pretrained"], BODY))


def test_training_elsewhere_starts_with_the_initial_weights(
    make_job: Make, tmp_path: Path, halves: list[Path]
) -> None:
    path, weights = saved(tmp_path, 9)
    still = elsewhere(optimiser={"name": "sgd", "learning_rate": 1e-30})
    job = make_job(training=None, initial_weights="path", pretraining=still)
    found = points(job, tmp_path, weights=path, pretraining=halves)
    assert not any(differ(found["pretrained"], weights, BODY))


def test_an_interrupted_training_elsewhere_goes_on(
    make_job: Make, tmp_path: Path, halves: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    job = make_job(training=None, pretraining=elsewhere())
    expected = points(job, tmp_path, pretraining=halves)["pretrained"]
    whole, write, kept = rounds.train, loop.write_state, []

    def interrupted(*arguments: Any, **options: Any) -> Any:
        whole(*arguments, **options, last_epoch=2)
        raise KeyboardInterrupt

    (tmp_path / "start.safetensors").unlink()

    def remembered(path: Path, *arguments: Any) -> None:
        kept.append(path)
        write(path, *arguments)

    monkeypatch.setattr(loop, "write_state", remembered)
    monkeypatch.setattr(rounds, "train", interrupted)
    with pytest.raises(KeyboardInterrupt):
        points(job, tmp_path, pretraining=halves)
    assert {path.name for path in kept} == {".pretraining.epoch_state.safetensors"}
    count = len(kept)
    monkeypatch.setattr(rounds, "train", whole)
    found = points(job, tmp_path, pretraining=halves)["pretrained"]
    assert not any(differ(found, expected, (*BODY, *CLASSIFIER)))
    # epoch 1 was not trained again: only the state after epoch 2 is written once more
    assert len(kept) == count + 1
