"""The jobs about concepts: extract a checkpoint's features, find its concepts, compare them."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sparsight.concepts.base import (
    ConceptMethod,
    FindingsFiles,
    StudiedNetwork,
    read_findings,
    write_drift,
    write_findings,
)
from sparsight.concepts.features import Features, extract_features
from sparsight.concepts.identity import read_identity
from sparsight.concepts.registry import CONCEPTS
from sparsight.data.packed import PackedSplit
from sparsight.io.checkpoints import read_checkpoint
from sparsight.io.gpu import choose_device, set_determinism
from sparsight.models.networks import load_network

#: of the stage `concepts`: see `sparsight.study.versions`
VERSION = 1
logger = logging.getLogger(__name__)
Settings = Mapping[str, Any]


def extract_checkpoint(
    settings: Settings,
    *,
    checkpoint: Path | str,
    splits: Sequence[Path | str],
    bank: Sequence[Path | str],
    output: Path | str,
    gpu: int,
) -> None:
    """Extract the features that all concept methods of a checkpoint share.

    Parameters
    ----------
    settings : `batch_size`, `threads`.
    checkpoint : the network.
    splits : packed files of its data set.
    bank : those of another data set that has the concept labels; empty where it is the same.
    output : the file of features.
    gpu : how many GPUs the job was granted.
    """
    set_determinism(int(settings["threads"]))
    device = choose_device(gpu)
    network = load_network(checkpoint, device)
    extract_features(
        network,
        _by_split(splits),
        _by_split(bank) if bank else None,
        Path(output),
        int(settings["batch_size"]),
        device,
    )


def find_concepts(
    settings: Settings,
    *,
    checkpoint: Path | str,
    features: Path | str,
    splits: Sequence[Path | str],
    bank: Sequence[Path | str],
    outputs: FindingsFiles,
    wildcards: Mapping[str, str],
    gpu: int,
) -> None:
    """Find the concepts of one checkpoint with one method.

    Parameters
    ----------
    settings : `method`, `parameters`, `images` (a number or "all"), `batch_size`, `threads`,
        `study`.
    checkpoint, features : the network and its features.
    splits, bank : see `extract_checkpoint`.
    outputs : the files to write.
    wildcards : dataset, model, pruner, seed, level and concept, the configured name.
    gpu : how many GPUs the job was granted.
    """
    set_determinism(int(settings["threads"]))
    device = choose_device(gpu)
    network = load_network(checkpoint, device).requires_grad_(False)
    method = _method(settings)
    own = _by_split(splits)
    with (
        Features(Path(features)) as extracted,
        PackedSplit.open(own["test"]) as test,
    ):
        images = len(test) if settings["images"] == "all" else int(settings["images"])
        found = method.find(
            StudiedNetwork(
                network=network,
                features=extracted,
                splits=own,
                bank=_by_split(bank) if bank else own,
                seed=int(wildcards["seed"]),
                batch_size=int(settings["batch_size"]),
                images=images,
                device=device,
            )
        )
        feature_passes = extracted.passes
    for note in found.notes:
        logger.info("%s", note)
    logger.info(
        "%d forward passes beyond the %d of the shared features", found.passes, feature_passes
    )
    identity = {"study": settings["study"], "density": read_checkpoint(checkpoint).density}
    for name in ("dataset", "model", "pruner", "seed", "level", "concept"):
        identity[name] = wildcards[name]
    write_findings(outputs, method, found, identity, feature_passes)


def compare_concepts(
    settings: Settings,
    *,
    own: FindingsFiles,
    references: Sequence[FindingsFiles],
    output: Path | str,
) -> None:
    """Compare a checkpoint's concepts with those of its references.

    Parameters
    ----------
    settings : `method`, `parameters`, `threads`, `references` (`pruner`, `seed`, `level` of each,
        in the order of `references`).
    own, references : the findings of the checkpoint and of the networks to compare it with.
    output : the table of drift.
    """
    set_determinism(int(settings["threads"]))
    method, found = _method(settings), read_findings(own)
    measured = [
        (who, method.compare(found, read_findings(files)))
        for who, files in zip(settings["references"], references, strict=True)
    ]
    write_drift(Path(output), method, measured, read_identity(own.measures))


def _method(settings: Settings) -> ConceptMethod:
    loaded: ConceptMethod = CONCEPTS.load(settings["method"])(**settings["parameters"])
    return loaded


def _by_split(paths: Sequence[Path | str]) -> dict[str, Path]:
    """Split to its packed file, which is named after it."""
    return {Path(path).stem: Path(path) for path in paths}
