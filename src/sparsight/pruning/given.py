"""Levels that another tool has pruned: read from its files, checked and evaluated, never trained.

Weights and masks come out as that tool left them. Masks need not be nested, and layers may be
narrower than the dense network's; only the density may not rise from level to level.
"""

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from sparsight.data.packed import PackedSplit
from sparsight.io.checkpoints import Checkpoint, Tensors, read_checkpoint
from sparsight.io.errors import InputError
from sparsight.io.provenance import sha256_of
from sparsight.models.base import Architecture, prunable_parameters
from sparsight.models.shapes import narrow
from sparsight.models.weights import (
    as_mask,
    body_of,
    by_order,
    check_values,
    counts_batches,
    misfit,
    of_classes,
    read_masked,
    read_tensors,
    without_prefix,
)
from sparsight.pruning.rounds import Job, new_network, write_level

#: of the stage `given`: see `sparsight.study.versions`
VERSION = 1


def take_level(job: Job, given: Sequence[Path], previous: Path, folder: Path) -> None:
    """Write a level from a file that another tool has made.

    The file's path and SHA-256 are in the level's provenance, the path also in its checkpoint.

    Parameters
    ----------
    given : the file with the weights, and that of the masks where they are apart (OpenLTH).
    previous : checkpoint of the level before; of level 01, the dense network's.
    folder : where the level is written.

    Raises
    ------
    InputError
        Before anything is written, where a file does not fit the model (`take_pruned`), or where
        more weights survive than at the level before.
    """
    started = time.perf_counter()
    path = given[0]
    with PackedSplit.open(job.splits["train"]) as split:
        data_hash, class_count = split.data_hash, len(split.classes)
        shape = tuple(split.rows(0, 1).images("clean").shape)
    network = new_network(job, class_count)
    sizes = {name: tensor.numel() for name, tensor in network.named_parameters()}
    weights, masks = read_masked(path)
    if len(given) > 1:
        masks = read_tensors(given[1])
    classes = job.settings.get("imagenet_classes", ())
    masks = take_pruned(network, weights, masks, given, shape, classes)
    digests = {str(file): sha256_of(file) for file in given}
    job = replace(job, settings={**job.settings, "given": digests})
    total = sum(sizes[name] for name in masks)
    before = read_checkpoint(previous)
    density = Checkpoint({}, masks, {"prunable": str(total)}).density
    if density > before.density:
        other = before.metadata.get("given", previous)
        raise InputError(
            f"{path} has a density of {density:.5g}, above the {before.density:.5g} of the level "
            f"before it, {other}; order the files by falling density"
        )
    write_level(job, network, masks, folder, data_hash, started, given=path, sizes=sizes)


def take_pruned(
    network: Architecture,
    weights: Tensors,
    masks: Tensors,
    files: Sequence[Path],
    shape: Sequence[int],
    imagenet_classes: Sequence[int] = (),
) -> Tensors:
    """Give a network the weights of a pruned one, and get the masks of its prunable parameters.

    Layers that have fewer channels in the file become as narrow (`sparsight.models.shapes.narrow`);
    then a forward pass must give logits for each class.

    Parameters
    ----------
    network : of the dense shapes; changed in place.
    weights : by the names of the network, but for a prefix of all of them, or in its order
        (`sparsight.models.weights.by_order`). Numbers of any precision become float32.
    masks : 0 and 1 in any dtype, by the same names. A prunable parameter without a mask is pruned
        where its weight is exactly zero.
    files : with the weights and, where it is another one, with the masks; for messages.
    shape : [N, C, H, W] of some images.
    imagenet_classes : see `sparsight.models.weights.take_weights`.

    Returns
    -------
    Prunable parameter to its mask, bool, of the shape that the weight has in the file.

    Raises
    ------
    InputError
        When a name is missing or unknown, a shape is no narrower layer's, a mask is of no weight,
        of another shape or holds another number, or a weight is not finite.
    """
    path, device = files[0], next(network.parameters()).device
    own = network.state_dict()
    weights, masks = without_prefix(weights, own), without_prefix(masks, own)
    body = body_of(network) if network.classifiers else own
    named = by_order(weights, own, body)
    if named is not weights:
        theirs = [key for key in weights if not counts_batches(key)]
        names = dict(zip(theirs, named, strict=True))
        weights, masks = named, {names.get(key, key): mask for key, mask in masks.items()}
    if imagenet_classes:
        weights = of_classes(network, weights, imagenet_classes)
        masks = of_classes(network, masks, imagenet_classes)
    missing = [key for key in own if key not in weights and not counts_batches(key)]
    for key in (*missing, *(key for key in weights if key not in own)):
        raise misfit(network, weights, key, path)
    check_values(weights, own, path)
    for name in network.classifiers:
        key = f"{name}.weight"
        if key in own and weights[key].shape[:1] != own[key].shape[:1]:
            raise misfit(network, weights, key, path)
    try:
        changed = narrow(network, weights)
    except InputError as error:
        raise InputError(
            f"{path}: {error}; choose weights of architecture {network.name} with the options "
            f"{dict(network.options)}"
        ) from error
    network.load_state_dict({**network.state_dict(), **weights})
    found = _masks(network, masks, files[-1])
    with torch.no_grad():
        for name, mask in found.items():
            network.get_parameter(name).mul_(mask.to(device))
    if changed:
        _check_forward(network, shape, path)
    return found


def _masks(network: Architecture, given: Tensors, path: Path) -> Tensors:
    """The masks of all prunable parameters, those of zeros where none is given."""
    state = network.state_dict()
    checked: Tensors = {}
    for name, mask in given.items():
        if name not in state:
            raise misfit(network, given, name, path)
        checked[name] = as_mask(mask, state[name], f"{path}: the mask of {name}").cpu()
    return {
        name: checked.get(name, (weight.detach() != 0).cpu())
        for name, weight in prunable_parameters(network).items()
    }


def _check_forward(network: Architecture, shape: Sequence[int], path: Path) -> None:
    """Do narrower layers fit each other?"""
    device = next(network.parameters()).device
    try:
        with torch.no_grad():
            logits = network.eval()(torch.zeros(1, *shape[1:], device=device))
    # torch raises a RuntimeError where channels do not fit; code of one's own may fail in any way.
    except Exception as error:
        why = " ".join(str(error).split())[:120]
        raise InputError(
            f"{path}: {network.name} does not run with layers as narrow as in this file ({why}); "
            "save the weights of a network whose layers fit each other, or choose an architecture "
            "whose forward pass has no widths written out"
        ) from error
    if tuple(logits.shape) != (1, network.class_count):
        raise InputError(
            f"{path}: {network.name} gives outputs {list(logits.shape)} with layers as narrow as "
            f"in this file, not {[1, network.class_count]}; choose weights for as many classes"
        )
