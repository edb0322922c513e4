"""Methods on generated photographs in Derm7pt's layout, where an image of one kind of a structure
is no example of the other kind."""

import csv
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from sparsight.concepts.base import ConceptMethod, Findings, StudiedNetwork
from sparsight.concepts.cav import Cav, ConceptPredictor
from sparsight.concepts.pcbm import Pcbm
from sparsight.concepts.tcav import Tcav
from sparsight.data.base import RawSplit
from sparsight.data.packing import pack
from sparsight.data.sources.derm7pt import Derm7pt
from tests.unit.concepts.planted import ColourNetwork, checkpoint_of

COLUMNS = (
    *("diagnosis", "derm", "pigment_network", "streaks", "regression_structures"),
    *("dots_and_globules", "blue_whitish_veil"),
)
SPLITS = {"train": ("train", 0, 108), "validation": ("valid", 108, 144), "test": ("test", 144, 180)}
# Of six images one has no streaks, two have regular ones, and three irregular ones, which are
# greener still: who takes these for negative examples learns that regular streaks are not green.
STREAKS = ("absent", "regular", "regular", "irregular", "irregular", "irregular")
NETWORK = ("absent", "typical", "typical", "atypical", "atypical", "atypical")
LEVELS = (20, 80, 80, 220, 220, 220)
# Channel of each concept's colour.
CONCEPTS = {
    "BWV": 0,
    "RegularStreaks": 1,
    "IrregularStreaks": 1,
    "TypicalPigmentNetwork": 2,
    "AtypicalPigmentNetwork": 2,
}
MISLED = [1, 3]

METHODS: dict[str, Callable[[], ConceptMethod]] = {
    "cav": Cav,
    "cav_logistic": lambda: Cav(classifier="logistic", images_per_side=0),
    "predictor": lambda: ConceptPredictor(epochs=200, learning_rate=3.0),
    "pcbm": Pcbm,
    "pcbm_predictor": lambda: Pcbm(scores="predictor", epochs=200, learning_rate=3.0),
    "tcav": lambda: Tcav(draws=3),
    "tcav_earlier": lambda: Tcav(draws=3, layer="colours"),
}


class Photographs(Derm7pt):
    """180 photographs whose concepts are known as the coding says."""

    count: ClassVar[int] = 180

    def read(self, settings: Mapping[str, Any], folder: Path) -> dict[str, RawSplit]:
        return {
            split: replace(part, concepts_known=self.known(part.concepts_known))
            for split, part in super().read(settings, folder).items()
        }

    def known(self, coded: Any) -> Any:
        return coded


class Silent(Photographs):
    """The same without a word on what is known, as other data sets are."""

    def known(self, coded: Any) -> Any:
        return None


class Believing(Photographs):
    """The same where all is said to be known."""

    def known(self, coded: Any) -> Any:
        return np.ones_like(coded)


def write_table(path: Path, columns: tuple[str, ...], rows: list[tuple[object, ...]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows([columns, *rows])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place, rows = tmp_path_factory.mktemp("original"), []
    draw = np.random.default_rng(0)
    (place / "images").mkdir()
    for index in range(180):
        streaks, network, veil = index % 6, index // 6 % 6, index % 5 == 0
        colour = np.array([200 if veil else 40, LEVELS[streaks], LEVELS[network]])
        colour = (colour + draw.normal(0, 4, 3)).clip(0, 255).astype(np.uint8)
        name = f"{index:03d}.png"
        Image.fromarray(np.broadcast_to(colour, (16, 16, 3)).copy()).save(place / "images" / name)
        rows.append(
            (
                "melanoma" if STREAKS[streaks] == "irregular" else "clark nevus",
                *(name, NETWORK[network], STREAKS[streaks], "absent", "absent"),
                "present" if veil else "absent",
            )
        )
    write_table(place / "meta" / "meta.csv", COLUMNS, rows)
    for word, start, stop in SPLITS.values():
        indexes: list[tuple[object, ...]] = [(index,) for index in range(start, stop)]
        write_table(place / "meta" / f"{word}_indexes.csv", ("indexes",), indexes)
    return place


@pytest.fixture(scope="module")
def find(
    folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[type[Photographs], str], Findings]:
    """What a method finds, the data prepared by one of the three sources."""
    # The logit of malignant rises with green and blue.
    network = ColourNetwork([[0.0, 0.0, 0.0], [0.0, 1.0, 1.0]])
    checkpoints: dict[type[Photographs], StudiedNetwork] = {}

    def found(source: type[Photographs], method: str) -> Findings:
        if source not in checkpoints:
            place = tmp_path_factory.mktemp(source.__name__)
            pack(source(), {"size": 16, "noise": {"maximum": 0}}, folder, place / "packed")
            splits = {split: place / "packed" / f"{split}.safetensors" for split in SPLITS}
            checkpoints[source] = checkpoint_of(network, splits, place)
        return METHODS[method]().find(checkpoints[source])

    return found


def along(findings: Findings) -> Tensor:
    """Of each concept, how far it points along its own colour; of TCAV, its score less a half."""
    assert list(findings.texts["concepts"]) == list(CONCEPTS)
    if "scores" in findings.arrays and "vectors" not in findings.arrays:
        return findings.arrays["scores"].mean(dim=0)[1] - 0.5
    vectors = findings.arrays["vectors"]
    return vectors[torch.arange(len(CONCEPTS)), torch.tensor(list(CONCEPTS.values()))]


@pytest.mark.parametrize("method", METHODS)
def test_the_other_kind_is_no_negative_example(
    method: str, find: Callable[[type[Photographs], str], Findings]
) -> None:
    right, wrong = find(Photographs, method), find(Believing, method)
    # The blue-whitish veil does not move the network.
    assert (along(right)[1:] > 0).all()
    assert (along(wrong)[MISLED] < 0).all()
    assert (
        "4 concepts are not known of all 108 training images and learnt from the others (images "
        "left out): RegularStreaks (54), IrregularStreaks (36), TypicalPigmentNetwork (54), "
        "AtypicalPigmentNetwork (36)" in right.notes
    )
    assert not any("not known" in note for note in wrong.notes)
    measured = {(row.measure, row.concept): row.value for row in right.measured}
    misled = {(row.measure, row.concept): row.value for row in wrong.measured}
    if ("concept_accuracy", "") in measured:
        for measure in ("concept_accuracy", "concept_balanced_accuracy"):
            assert measured[measure, ""] > 0.95
            assert misled[measure, ""] < 0.96
    if "margins" in right.arrays:
        # Scores are those of all images.
        assert len(right.arrays["margins"]) == 36
        assert right.arrays["margins"].isfinite().all()


@pytest.mark.parametrize("method", METHODS)
def test_a_bank_that_does_not_say_is_known(
    method: str, find: Callable[[type[Photographs], str], Findings]
) -> None:
    silent, stated = find(Silent, method), find(Believing, method)
    assert repr(silent.ranked) == repr(stated.ranked)
    assert repr(silent.measured) == repr(stated.measured)
    assert silent.notes == stated.notes
    assert silent.arrays.keys() == stated.arrays.keys()
    for name, array in silent.arrays.items():
        assert torch.equal(array.nan_to_num(-7), stated.arrays[name].nan_to_num(-7)), name
