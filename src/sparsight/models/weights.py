"""Weights that a network starts with: torchvision's, those of a file, or of other classes."""

import argparse
import json
import logging
import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from sparsight.data.download import fetch_files, verify_files
from sparsight.data.location import DATA_VARIABLE, places
from sparsight.io.checkpoints import Tensors, read_checkpoint
from sparsight.io.errors import CorruptFile, InputError
from sparsight.io.files import write_json
from sparsight.io.provenance import sha256_of
from sparsight.models.base import Architecture, prunable_parameters

#: of the stage `weights`: see `sparsight.study.versions`
VERSION = 1
logger = logging.getLogger(__name__)
#: folder of these files, in the data folder and in $SPARSIGHT_DATA
FOLDER = "weights"
MIRRORS = ("https://download.pytorch.org/models/",)


def checksum_in(name: str) -> str:
    """The first digits of a file's SHA-256, which end its name: `resnet50-0676ba61.pth`."""
    digits = name.partition(".")[0].rpartition("-")[2]
    if len(digits) < 8 or set(digits) - set("0123456789abcdef"):
        raise InputError(f"the name {name} does not end in digits of a SHA-256; rename the file")
    return digits


def fetch_weights(
    name: str,
    data_folder: Path | str,
    manifest: Path | str,
    mirrors: Sequence[str] = MIRRORS,
    environ: Mapping[str, str] = os.environ,
) -> None:
    """Find or download a file of weights, verify it, and write down where it lies.

    Parameters
    ----------
    name : torchvision's file name.
    data_folder : `data_folder/weights` goes first, `$SPARSIGHT_DATA/weights` second; downloads go
        to the first.
    manifest : JSON with the file's `path`, `name` and whole `sha256`, which is compared again when
        the weights are used.
    mirrors : addresses of folders that hold such files.
    """
    folders = [place / FOLDER for place in places(data_folder, environ)]
    checksums = {name: checksum_in(name)}
    found = next((folder for folder in folders if (folder / name).is_file()), None)
    if found is not None:
        verify_files(found, checksums)
    else:
        found = folders[0]
        remedy = f"or into ${DATA_VARIABLE}/{FOLDER}"
        fetch_files(found, checksums, mirrors, remedy=remedy)
    logger.info("weights are those of %s", found / name)
    path = found / name
    write_json(manifest, {"name": name, "path": str(path), "sha256": sha256_of(path)})


#: how often batch normalisation has seen a batch; older files of weights do not have it
COUNTER = "num_batches_tracked"
#: the largest share of prunable weights that may be exactly zero in a file of a dense network. A
#: mask cannot be told from zeros, so the file of a pruned network must not pass for a dense one;
#: but a few zeros are no mask: trained networks have dead channels, and weight decay takes what
#: nothing trains below the smallest number. EfficientNet-Lite0's ImageNet weights hold 0.18%.
#: Pruning takes 10% of the weights or more.
MOST_ZEROS = 0.005
#: of a classifier of all of ImageNet (ILSVRC 2012)
IMAGENET_CLASSES = 1000
#: where trainings keep the state_dict in a file that holds more
NESTED = ("state_dict", "model_state_dict", "model", "network", "net")
#: what wrappers put before the name of every weight
PREFIXES = ("module.", "model.", "net.", "network.", "_orig_mod.")


def weights_file(given: Path) -> Path:
    """The file of weights itself, where `given` is the manifest of one (JSON).

    Its SHA-256 must still be the manifest's.
    """
    if given.suffix != ".json":
        return given
    try:
        facts = json.loads(given.read_text(encoding="utf-8"))
        path, checksum = Path(facts["path"]), str(facts["sha256"])
    except FileNotFoundError as error:
        raise InputError(f"{given} does not exist; correct initial_weights") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{given} holds no weights and is no manifest of a file of weights; name a file such "
            "as *.pth or *.safetensors as initial_weights"
        ) from error
    if not path.is_file():
        raise InputError(f"{path} is gone; delete {given} and run snakemake again to find it")
    found = sha256_of(path)
    if found != checksum:
        raise CorruptFile(
            f"{path} has changed since it was found (SHA-256 {found[:12]}… instead of "
            f"{checksum[:12]}…); delete {given} and run snakemake again"
        )
    return path


def read_weights(path: Path) -> Tensors:
    """State of a network from a Sparsight checkpoint or from a foreign file, masks multiplied out.

    See `read_masked`.
    """
    return read_masked(path)[0]


def read_masked(path: Path) -> tuple[Tensors, Tensors]:
    """Weights and masks of a Sparsight checkpoint or of a foreign file.

    `*.safetensors` is a Sparsight checkpoint or a file of plain weights (timm, Hugging Face Hub).
    All else is a state_dict that torch has saved, plain or under one of the keys `NESTED`, next to
    which a training may have put its arguments. Nothing but tensors, plain values and
    `argparse.Namespace` is unpickled.

    Returns
    -------
    The weights by the file's names, multiplied by their masks, and the masks that the file has,
    bool by the same names: a checkpoint's own, or those of `torch.nn.utils.prune` (`weight_orig`,
    `weight_mask`).

    Raises
    ------
    InputError
        When there is no file, or none of tensors, or a mask holds another number than 0 and 1.
    """
    if path.suffix == ".safetensors" and path.is_file():
        return _read_safetensors(path)
    return _unmasked(read_tensors(path), path)


def read_tensors(path: Path) -> Tensors:
    """The tensors of a file that torch has saved, sparse ones made dense; see `read_masked`."""
    if not path.is_file():
        raise InputError(f"{path} does not exist; put the file there, or correct the path")
    try:
        with torch.serialization.safe_globals([argparse.Namespace]):
            found: Any = torch.load(path, map_location="cpu", weights_only=True)
    # A file of something else makes torch fail in any way.
    except Exception as error:
        raise InputError(
            f"{path} holds no weights that can be read safely; save a state_dict of tensors there"
        ) from error
    if isinstance(found, Mapping):
        found = next((found[key] for key in NESTED if isinstance(found.get(key), Mapping)), found)
    if not isinstance(found, Mapping) or not all(
        isinstance(value, torch.Tensor) for value in found.values()
    ):
        raise InputError(f"{path} is no state_dict of tensors; save network.state_dict() there")
    return {
        key: value if value.layout == torch.strided else value.to_dense()
        for key, value in found.items()
    }


def _read_safetensors(path: Path) -> tuple[Tensors, Tensors]:
    """As `read_masked`; only our own files hold the checksums that `read_checkpoint` verifies."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            own = "checksums" in (file.metadata() or {})
            found = {} if own else {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise CorruptFile(f"{path} is corrupt (as safetensors); put it there again") from error
    if not own:
        return _unmasked(found, path)
    checkpoint = read_checkpoint(path)
    return checkpoint.weights, checkpoint.masks


def _unmasked(weights: Tensors, path: Path) -> tuple[Tensors, Tensors]:
    found, masks = dict(weights), {}
    for key in weights:
        name, _, end = key.rpartition("_")
        if end == "orig" and f"{name}_mask" in weights:
            found[name], mask = found.pop(key), found.pop(f"{name}_mask")
            masks[name] = as_mask(mask, found[name], f"{path}: {name}_mask")
            found[name] = found[name] * masks[name]
    return found, masks


def as_mask(mask: torch.Tensor, weight: torch.Tensor, where: str) -> torch.Tensor:
    """A mask as bool; an `InputError` where it is not 0 or 1 everywhere, or not of this weight.

    `where` names file and key, for messages.
    """
    if mask.shape != weight.shape:
        raise InputError(
            f"{where} has the shape {list(mask.shape)}, but its weight has {list(weight.shape)}; "
            "save weights and masks of one network"
        )
    found = mask == 1
    if not bool((found | (mask == 0)).all()):
        raise InputError(f"{where} holds other numbers than 0 and 1; save masks of these two")
    return found


def without_prefix(weights: Tensors, own: Collection[str]) -> Tensors:
    """Names without what a wrapper (DataParallel, Lightning, compile) put before all of them."""
    for prefix in PREFIXES:
        taken = weights and all(key.startswith(prefix) for key in weights)
        if taken and not any(key.startswith(prefix) for key in own):
            shorter = {key.removeprefix(prefix): value for key, value in weights.items()}
            return without_prefix(shorter, own)
    return weights


def body_of(network: Architecture) -> Tensors:
    """State of all but the classifiers, which the architecture has to name."""
    if not network.classifiers:
        raise InputError(
            f"architecture {network.name} does not name its classifiers, which have to be drawn "
            f"anew for other classes; add the fact 'classifiers' to {type(network).__name__}"
        )
    beginnings = tuple(f"{name}." for name in network.classifiers)
    return {
        key: value for key, value in network.state_dict().items() if not key.startswith(beginnings)
    }


def take_body(network: Architecture, source: Architecture) -> None:
    """Give a network all weights of another one of its architecture but the classifiers'."""
    network.load_state_dict({**network.state_dict(), **body_of(source)})


def by_order(weights: Tensors, own: Tensors, body: Tensors) -> Tensors:
    """Weights under the network's names, where their order tells what they are.

    Another library may give the same layers other names. Where no name of the file is one of the
    network's, both hold as many arrays, and in their order each has the same last name (`weight`,
    `running_mean`) and, but for classifiers, the same shape, they are the same. Layers of one shape
    in another order would be mistaken for each other, so it is logged.
    """
    theirs = [key for key in weights if not key.endswith(COUNTER)]
    ours = [key for key in own if not key.endswith(COUNTER)]
    if set(theirs) & set(ours) or len(theirs) != len(ours):
        return weights
    for one, other in zip(theirs, ours, strict=True):
        fits = weights[one].shape == own[other].shape or other not in body
        if not fits or one.rpartition(".")[2] != other.rpartition(".")[2]:
            return weights
    logger.warning(
        "no name in the file is one of the network's; all %d arrays are taken by their order, "
        "in which shapes and kinds agree: %s is %s, …, %s is %s",
        *(len(theirs), theirs[0], ours[0], theirs[-1], ours[-1]),
    )
    return {other: weights[one] for one, other in zip(theirs, ours, strict=True)}


def of_classes(network: Architecture, weights: Tensors, rows: Sequence[int]) -> Tensors:
    """Weights in which classifiers of all classes of ImageNet are those of the classes `rows`."""
    found = dict(weights)
    for name in network.classifiers:
        for key in (f"{name}.weight", f"{name}.bias"):
            if key in weights and len(weights[key]) == IMAGENET_CLASSES:
                found[key] = weights[key][list(rows)]
    return found


def misfit(network: Architecture, weights: Tensors, key: str, path: Path) -> InputError:
    """Why a file does not fit: a key, what the network expects there, and what the file has."""
    own = network.state_dict()
    what = f"architecture {network.name} with the options {dict(network.options)}"
    if key not in own:
        text = f"{key} {_shape(weights[key])} is unknown to {what}"
    elif key in weights:
        text = f"{key} is {_shape(weights[key])}, but {_shape(own[key])} in {what}"
    else:
        unknown = next((name for name in weights if name not in own), None)
        instead = f"; it has {unknown} {_shape(weights[unknown])}" if unknown else ""
        text = f"{key} {_shape(own[key])} of {what} is missing{instead}"
    return InputError(f"{path}: {text}; choose weights of that network")


def _shape(tensor: torch.Tensor) -> str:
    return str(list(tensor.shape))


def counts_batches(key: str) -> bool:
    """Whether a weight is a counter that older files do not have, and that nothing depends on."""
    return key.rpartition(".")[2] == COUNTER


def check_values(weights: Tensors, own: Tensors, path: Path) -> None:
    """An `InputError` where a weight is not finite, or an integer in the place of a float.

    `own` is the state of the network that takes the weights.
    """
    for key, value in weights.items():
        if own[key].is_floating_point() and not value.is_floating_point():
            raise InputError(
                f"{path}: {key} holds {str(value.dtype).removeprefix('torch.')}; save weights as "
                "floating point numbers"
            )
        if not bool(torch.isfinite(value).all()):
            raise InputError(
                f"{path}: {key} holds values that are not finite (NaN or infinite); choose weights "
                "of a training that did not diverge"
            )


def take_weights(
    network: Architecture,
    weights: Tensors,
    path: Path,
    keep_classes: bool,
    imagenet_classes: Sequence[int] = (),
    whole: bool = False,
) -> bool:
    """Give a network the weights of a file; whether the classifiers were taken too.

    Parameters
    ----------
    network : as it was drawn.
    weights : of a network of the same architecture and options; a prefix that all their names
        have, and none of the network's, is dropped. Those of another library, whose names are all
        others, are taken by their order where that tells what each is.
    path : of the file, for messages.
    keep_classes : whether classifiers are taken where they fit; otherwise they stay as drawn.
    imagenet_classes : numbers of the network's classes among the 1,000 of ImageNet. Of a classifier
        of 1,000 classes, their rows are taken.
    whole : whether classifiers must fit, since nothing will train them.

    Raises
    ------
    InputError
        When a weight other than those of classifiers is missing, unknown or of another shape; when
        one is not finite; or when more than `MOST_ZEROS` of the prunable weights are exactly zero,
        as in the file of a pruned network.
    """
    own = network.state_dict()
    body = body_of(network) if network.classifiers else own
    weights = by_order(without_prefix(weights, own), own, body)
    if keep_classes and imagenet_classes:
        weights = of_classes(network, weights, imagenet_classes)
    fits = {key: key in weights and weights[key].shape == value.shape for key, value in own.items()}
    unknown = [key for key in weights if key not in own]
    old = {key for key in own if counts_batches(key) and key not in weights}
    needed = own if whole else body
    wrong = [key for key in needed if not fits[key] and key not in old]
    for key in (*wrong, *unknown):
        raise misfit(network, weights, key, path)
    kept = keep_classes and all(fits[key] for key in own if key not in body)
    taken = own if kept else body
    found = {key: weights[key] for key in taken if key in weights}
    check_values(found, own, path)
    prunable = [found[name] for name in prunable_parameters(network) if name in found]
    zeros = sum(int((weight == 0).sum()) for weight in prunable)
    share = zeros / max(1, sum(weight.numel() for weight in prunable))
    if share > MOST_ZEROS:
        raise InputError(
            f"{path}: {100 * share:.2g}% of the prunable weights are exactly zero, as if pruned, "
            "but a study starts with a dense network; choose weights of a network that was not "
            "pruned"
        )
    network.load_state_dict({**own, **found})
    return kept
