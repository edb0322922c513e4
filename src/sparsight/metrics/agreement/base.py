"""What every metric of agreement has: its facts and one batched, symmetric call."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar

from torch import Tensor

from sparsight.io.errors import InputError
from sparsight.metrics.preparation import TREATMENTS, prepare
from sparsight.parameters import checked_parameters
from sparsight.rounding import is_constant


class AgreementMetric(ABC):
    """Base of the metrics that compare the maps of two networks for the same images and classes.

    A subclass states its facts as literal class attributes: they are read from the source without
    importing it (`Registry.facts`).

    Attributes
    ----------
    name : name in the registry.
    version : raised when its numbers change, see `sparsight.study.versions`.
    reference : paper, with DOI or arXiv id.
    category : "agreement".
    direction : "higher": equal maps agree most.
    unit : what the value counts and its range.
    treatment : "signed", "absolute" or "positive" (negative values set to 0), by default; the
        parameter `treatment` overrides it.
    normalisation : "none" or "min_max" (per image to [0, 1]).
    resolution : "native", maps as they are stored, or "image", brought to image size first.
    parameters : name of each parameter to its default; "required" where there is none.
    """

    name: str
    reference: str
    category: str = "agreement"
    direction: str = "higher"
    unit: str
    treatment: str = "signed"
    normalisation: str = "none"
    resolution: str = "native"
    parameters: ClassVar[dict[str, Any]] = {}

    def __init__(self, **parameters: Any) -> None:
        owner = f"agreement metric {self.name}"
        self.settings = checked_parameters(owner, self.parameters, parameters)
        self.treatment = self.settings.get("treatment", self.treatment)
        if self.treatment not in TREATMENTS:
            known = ", ".join(TREATMENTS)
            raise InputError(f"{owner}: treatment '{self.treatment}' is unknown (known: {known})")

    def prepared(self, maps: Tensor, size: tuple[int, int], interpolation: str) -> Tensor:
        """Raw maps float32 [N, h, w] as `compare` wants them.

        Parameters
        ----------
        maps : as they are stored.
        size : (H, W) of the images.
        interpolation : the explainer's fact, see `sparsight.explain.base.to_image_size`.

        Returns
        -------
        float32 [N, h, w] or, for the resolution "image", [N, H, W]; a map that holds NaN or
        infinity is NaN throughout.
        """
        wanted = size if self.resolution == "image" else (maps.shape[1], maps.shape[2])
        return prepare(maps, wanted, interpolation, self.treatment, self.normalisation)

    @abstractmethod
    def compare(self, first: Tensor, second: Tensor) -> Tensor:
        """Agreement of two batches of maps, image by image; no row may depend on the others.

        Swapping the two must not change the value: the interval of the seed floor relies on it.

        Parameters
        ----------
        first, second : float32 [N, h, w], `prepared`.

        Returns
        -------
        float32 [N]; NaN where one of the two maps `shows_nothing`. A constant map says
        nothing of any place, so there is nothing to agree with.
        """


def shows_nothing(maps: Tensor) -> Tensor:
    """Whether each map [N, h, w] is constant up to rounding or holds NaN, bool [N]."""
    return is_constant(maps, (1, 2)) | maps.amax(dim=(1, 2)).isnan()
