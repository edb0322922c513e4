"""What a network learns before the study's data: weights of a file, another data set."""

import logging
from dataclasses import replace
from pathlib import Path

from sparsight.models.base import Architecture
from sparsight.models.weights import read_weights, take_body, take_weights
from sparsight.pruning.training_job import Job, new_network, training_data
from sparsight.training.loop import Stream, train
from sparsight.training.recipe import Recipe

logger = logging.getLogger(__name__)

#: value of `initial_weights` for torchvision's weights; other values are paths, or `random`
IMAGENET = "imagenet"


def take_initial_weights(job: Job, network: Architecture, path: Path) -> None:
    """Start from the weights of a file.

    The classifiers stay as drawn where the file's are for another number of classes, and with
    torchvision's ImageNet weights always.
    """
    keep = job.settings["initial_weights"] != IMAGENET
    kept = take_weights(network, read_weights(path), path, keep)
    logger.info("weights of %s, classifier %s", path, "too" if kept else "as drawn")


def pretrain_elsewhere(
    job: Job, network: Architecture, splits: dict[str, Path], state_file: Path, fingerprint: str
) -> None:
    """Train on another data set, and take all that was learnt there but the classifiers.

    Parameters
    ----------
    job : whose settings hold `pretraining`: dataset, recipe, noise_maximum.
    network : of the study's classes; changed in place.
    splits : packed splits of the other data set, by name.
    state_file, fingerprint : see `sparsight.training.loop.train`.
    """
    facts = job.settings["pretraining"]
    settings = {
        **job.settings,
        "noise_maximum": facts["noise_maximum"],
        "training": facts["recipe"],
        "retraining": None,
    }
    elsewhere = replace(job, settings=settings, splits=splits)
    data, _, class_count = training_data(elsewhere)
    other = new_network(elsewhere, class_count)
    take_body(other, network)
    train(
        other,
        data,
        Recipe(**facts["recipe"]),
        Stream(job.seed, f"pretraining/{facts['dataset']}"),
        masks={},
        state_file=state_file,
        fingerprint=fingerprint,
    )
    take_body(network, other)
    state_file.unlink(missing_ok=True)
