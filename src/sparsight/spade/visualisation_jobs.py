"""The job of feature visualisation: classes of a trojan, before and after pruning for an image."""

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sparsight.data.packed import NONE, PackedSplit, Planted, read_planted
from sparsight.explain.network import frozen
from sparsight.io.arrays import read_arrays, write_arrays
from sparsight.io.device import choose_device, set_determinism
from sparsight.io.errors import InputError
from sparsight.models.networks import load_network
from sparsight.spade.configured import (
    configured_solver,
    configured_sparsities,
    sample_settings,
)
from sparsight.spade.copies import pruned_copies
from sparsight.spade.fidelity import measured_density
from sparsight.spade.visualisation import DEFAULTS, mean_magnitude, visualisation

Settings = Mapping[str, Any]

#: the networks whose pictures are made, in their order
NETWORKS = ("dense", "stickered", "clean")
#: images that are looked at for one that is taken for its class
_CANDIDATES = 64
#: images whose spectra make the template of `maco`
_SPECTRA = 256


@dataclass
class _Found:
    """What was made for one sticker; names and shapes are those of the file, without [k]."""

    labels: Tensor
    image_ids: Tensor
    images: Tensor
    predicted: Tensor
    copy_predicted: Tensor
    sparsity: Tensor
    pictures: Tensor
    probability: Tensor
    network_probability: Tensor


def visualise_checkpoint(
    settings: Settings,
    *,
    packed_test: Path | str,
    checkpoint: Path | str,
    sparsities: Path | str | None,
    output: Path | str,
    gpu: int,
) -> None:
    """Make pictures of the classes that stickers stand for, of a network and of pruned copies.

    A copy is pruned for the first image (in the order of evaluation subsets) with the sticker, and
    another for the first image of the class without one; images that the network takes for the
    class go before all others, of the first 64.

    Parameters
    ----------
    settings : `threads`; `stickers`, those whose classes are visualised; `visualised`, see
        `visualisation`; `sample_pruner` as of `explain_samples`.
    packed_test : packed test split of a data set with a trojan.
    checkpoint : the network.
    sparsities : file of `search_checkpoint`, where they were searched for.
    output : safetensors file. For k stickers `labels` int64 [k], the classes; and of the images,
        with the sticker and without, `images` float32 [k, 2, C, H, W], `image_ids`, `predicted` (by
        the network) and `copy_predicted` (by the copy pruned for it) int64 [k, 2], and `sparsity`
        float32 [k, 2], of the pruned layers of these copies; `pictures` float32 [k, 3, C, S, S] of
        the networks `dense`, `stickered`, `clean`, and `probability` and `network_probability`
        float32 [k, 3], that of the class in a picture as its own and as the unpruned network say.
        Metadata: `stickers` and `classes` (all names) as JSON, `sample_pruner`, `method`, `steps`.
    gpu : how many GPUs the job was granted.

    Raises
    ------
    InputError
        When the split has none of the stickers or no clean image of a class, for images that are
        not square, or when the solver fails on a layer.
    """
    set_determinism(settings["threads"])
    network = load_network(checkpoint, choose_device(gpu))
    planted = read_planted(packed_test)
    with PackedSplit.open(packed_test) as split:
        if planted is None or not set(settings["stickers"]) <= set(planted.names):
            raise InputError(
                f"{packed_test} lacks a sticker among {', '.join(settings['stickers'])}; prepare "
                "the data set again"
            )
        making = _Making(settings, network, split, planted, sparsities)
        found = [making.found(sticker) for sticker in settings["stickers"]]
        classes = split.classes
    write_arrays(
        output,
        {name: torch.stack([vars(each)[name] for each in found]) for name in vars(found[0])},
        {
            "stickers": json.dumps(settings["stickers"]),
            "classes": json.dumps(classes),
            "sample_pruner": settings["sample_pruner"]["name"],
            "method": str(settings["visualised"]["method"]),
            "steps": str(settings["visualised"]["steps"]),
        },
    )


class _Making:
    """All that the pictures of a network's classes have in common."""

    def __init__(
        self,
        settings: Settings,
        network: nn.Module,
        split: PackedSplit,
        planted: Planted,
        searched: Path | str | None,
    ) -> None:
        self.network, self.split, self.planted = network, split, planted
        self.device = next(network.parameters()).device
        self.pruner = settings["sample_pruner"]
        self.how = {key: settings["visualised"][key] for key in DEFAULTS}
        image = split.rows(0, 1).to(self.device).images("clean")
        self.sparsities = configured_sparsities(network, image, self.pruner["sparsities"], searched)
        #: positions in the order in which evaluation subsets take them
        self.rank = read_arrays(split.path, ["evaluation_rank"])["evaluation_rank"].argsort()
        self.magnitude = None
        if self.how["method"] == "maco":
            some = self.rank[planted.stickers[self.rank] == NONE][:_SPECTRA]
            self.magnitude = mean_magnitude(split.select(some).images("clean"))

    def found(self, sticker: str) -> _Found:
        number = self.planted.names.index(sticker)
        carrying = self.planted.stickers == number
        if not bool(carrying.any()):
            raise InputError(f"{self.split.path} has no image with the sticker '{sticker}'")
        label = int(self.planted.labels[carrying][0])
        own = (self.planted.labels == label) & ~self.planted.stickered
        if not bool(own.any()):
            raise InputError(
                f"{self.split.path} has no image of the class '{self.split.classes[label]}' "
                "without a sticker"
            )
        places = [self._first(which, label) for which in (carrying, own)]
        batch = self.split.select(places).to(self.device)
        images = batch.images("clean")
        pictures = [self._picture(self.network, label)]
        probability = [self._probability(self.network, pictures[0], label)]
        said, sparsity = [], []
        copies = pruned_copies(
            self.network,
            images,
            batch.image_ids.cpu(),
            configured_solver(self.pruner),
            self.sparsities,
            sample_settings(self.pruner),
            self.pruner["name"],
        )
        pruned = [layer for layer, share in self.sparsities.items() if share > 0]
        for place, copied in copies:
            pictures.append(self._picture(copied, label))
            probability.append(self._probability(copied, pictures[-1], label))
            said.append(self._logits(copied, images[place]).argmax())
            sparsity.append(1.0 - measured_density(copied, pruned))
            logging.info("%s: picture of %s", sticker, NETWORKS[place + 1])
        return _Found(
            labels=torch.tensor(label),
            image_ids=batch.image_ids.cpu(),
            images=images.cpu(),
            predicted=torch.stack([self._logits(self.network, i).argmax() for i in images]).cpu(),
            copy_predicted=torch.stack(said).cpu(),
            sparsity=torch.tensor(sparsity),
            pictures=torch.stack(pictures),
            probability=torch.tensor(probability),
            network_probability=torch.tensor(
                [self._probability(self.network, picture, label) for picture in pictures]
            ),
        )

    def _first(self, which: Tensor, label: int) -> int:
        """Position of the first image that the network takes for the class, else of the first."""
        candidates = self.rank[which[self.rank]][:_CANDIDATES]
        images = self.split.select(candidates).to(self.device).images("clean")
        with frozen(self.network), torch.no_grad():
            taken = self.network(images).argmax(1).cpu() == label
        return int(candidates[int(taken.int().argmax())])

    def _picture(self, network: nn.Module, label: int) -> Tensor:
        shape = self.split.image_shape
        return visualisation(network, label, shape, self.how, self.magnitude)

    def _logits(self, network: nn.Module, image: Tensor) -> Tensor:
        with frozen(network), torch.no_grad():
            logits: Tensor = network(image.unsqueeze(0).to(self.device))[0]
        return logits

    def _probability(self, network: nn.Module, picture: Tensor, label: int) -> float:
        return float(self._logits(network, picture).softmax(0)[label])
