"""What a concept method is: from a checkpoint to concepts, their ranks, and numbers about them."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from sparsight.concepts.features import Features
from sparsight.models.base import Architecture
from sparsight.parameters import checked_parameters

#: stands in a measure or a ranking for all classes, or for no single concept
WHOLE = ""


@dataclass(frozen=True)
class Ranked:
    """One concept in one class's order of concepts; a row of `concepts/{concept}.parquet`.

    Attributes
    ----------
    class_name : name of the class; `WHOLE` where one order holds for all classes.
    concept : name of the concept.
    rank : place in that order, 1 first.
    weight : what the order is by: importance, weight in the bottleneck, TCAV score, ...
    value : one more number of the pair that the method explains in its docstring; NaN without.
    """

    class_name: str
    concept: str
    rank: int
    weight: float
    value: float = float("nan")


@dataclass(frozen=True)
class Measured:
    """One number about a checkpoint's concepts; a row of `concepts/{concept}_measures.parquet`.

    Attributes
    ----------
    measure : a key of the method's `measures`.
    value : NaN where it is not defined.
    class_name, concept : what it is about; `WHOLE` for the checkpoint as a whole.
    """

    measure: str
    value: float
    class_name: str = WHOLE
    concept: str = WHOLE


@dataclass(frozen=True)
class Findings:
    """What a method found in one checkpoint.

    Attributes
    ----------
    ranked : the order of the concepts of each class; may be empty.
    measured : numbers; of each measure at least one row.
    arrays : bases, vectors, coefficients, crops, ... by name, on the CPU; kept in
        `concepts/{concept}.safetensors` for comparisons and figures.
    texts : lists of names along the dimensions of the arrays ("concepts", "classes"), by name; kept
        beside the arrays, in the file's metadata.
    notes : sentences for the log and the report (concepts that were dropped or merged, ...).
    passes : how many images went forward through the network, a backward pass counts as two,
        beyond those of the shared features.
    """

    ranked: Sequence[Ranked]
    measured: Sequence[Measured]
    arrays: Mapping[str, Tensor] = field(default_factory=dict)
    texts: Mapping[str, Sequence[str]] = field(default_factory=dict)
    notes: Sequence[str] = ()
    passes: int = 0


@dataclass(frozen=True)
class StudiedNetwork:
    """All that a concept method may look at.

    Attributes
    ----------
    network : in evaluation mode with frozen parameters, on `device`; `features(images)` gives maps
        [N, D, h, w] and `head(maps)` logits [N, classes].
    features : the shared features of the network, see `Features`.
    splits : packed files of the network's data set by split (train, validation, test).
    bank : packed files, by split, of the data set whose concept labels are used: often the same.
    seed : of the network; all that is random is drawn from it and from names or image ids.
    batch_size : images at a time; bounds the memory.
    images : how many images of the shared evaluation subset of the test split methods may look at
        beyond their pooled features.
    device : where the network is.
    """

    network: Architecture
    features: Features
    splits: Mapping[str, Path]
    bank: Mapping[str, Path]
    seed: int
    batch_size: int
    images: int
    device: torch.device


class ConceptMethod(ABC):
    """Finds concepts in a network; a subclass states its facts as literal class attributes.

    Attributes
    ----------
    name : as in the registry.
    version : raised when its numbers change, see `sparsight.study.versions`.
    reference : paper, with DOI or arXiv id.
    needs : of "concept_labels" (of the bank), "masks", "part_masks" (of the test split), those
        without which it cannot work.
    measures : name of each number that `find` gives to (direction, unit and range, meaning).
        Direction is "higher" or "lower", whichever is better, "" where neither is.
    comparisons : the same for the numbers that `compare` gives.
    chance : a measure or comparison to the one that says what it is by chance; figures show both
        in one panel.
    shared_names : whether a concept's name means the same in every network, so that orders of
        concepts can be set side by side; not where a network's concepts are only numbered.
    sheet : whether `arrays` hold what a sheet of concepts shows, see
        `sparsight.plots.concept_sheet`.
    parameters : name to default; "required" where there is none.
    """

    name: ClassVar[str]
    version: ClassVar[int] = 1
    reference: ClassVar[str]
    needs: ClassVar[tuple[str, ...]] = ()
    measures: ClassVar[dict[str, tuple[str, str, str]]]
    comparisons: ClassVar[dict[str, tuple[str, str, str]]] = {}
    chance: ClassVar[dict[str, str]] = {}
    shared_names: ClassVar[bool] = True
    sheet: ClassVar[bool] = False
    parameters: ClassVar[dict[str, Any]] = {}

    def __init__(self, **parameters: Any) -> None:
        self.settings = checked_parameters(
            f"concept method {self.name}", self.parameters, parameters
        )

    @abstractmethod
    def find(self, checkpoint: StudiedNetwork) -> Findings:
        """Find the concepts of one checkpoint.

        Raises
        ------
        InputError
            When data or settings cannot be used; one sentence.
        """

    def compare(self, own: Findings, reference: Findings) -> Sequence[Measured]:
        """Numbers on how a checkpoint's concepts differ from those of another network.

        Parameters
        ----------
        own : of the checkpoint, read back from its files (`passes` is then 0, `notes` empty).
        reference : of its dense parent, of a retrained network, or of another seed.

        Returns
        -------
        One row or more of each of `comparisons`; by default none.
        """
        return []
