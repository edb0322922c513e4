"""What every metric has: its facts, its checked parameters and one batched call."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor, nn

from sparsight.io.errors import InputError
from sparsight.parameters import checked_parameters


class Explain(Protocol):
    """Explains images anew with the explainer whose attributions are being scored.

    What comes back has been resized, treated and normalised exactly like the attributions that the
    metric was given.
    """

    def __call__(
        self, model: nn.Module, images: Tensor, targets: Tensor, rows: Tensor | None = None
    ) -> Tensor:
        """Attributions float32 [n, H, W] of `images` float32 [n, C, H, W] for `targets` int64 [n].

        `rows` int64 [n] says from which images of the scored batch the given ones are made, so
        that a random explainer draws for an image what it drew before. By default they are the
        whole batch in order, once or several times over.
        """
        ...


class Metric(ABC):
    """Base of all metrics; a subclass states its facts as literal class attributes.

    The facts are read from the source without importing it (`Registry.facts`), so they must be
    literals. An adapter to another library sets them on the instance instead.

    Attributes
    ----------
    name : name in the registry.
    version : raised when its numbers change, see `sparsight.study.versions`.
    reference : paper, with DOI or arXiv id where there is one.
    category : "localisation", "complexity", "faithfulness", "robustness", "randomisation", ...;
        "descriptive" for what says nothing of quality.
    direction : "higher" or "lower", whichever is better; "" where neither is.
    unit : what the value counts and its range.
    needs : of "mask", "model", "explainer", those without which `score` cannot work.
    treatment : "signed", "absolute" or "positive" (negative values set to 0).
    normalisation : "none" or "min_max" (per image to [0, 1]).
    mask_rule : "soft" (float32 in [0, 1]), "binary" (bool, soft mask >= 0.5) or "none".
    reducer : how the steps of a curve become one number in tables, a name in
        `sparsight.analysis.scores.REDUCERS`; "" for metrics that give one number.
    step_axis : what the steps of a curve are steps of, for the axis of a figure, such as
        "pixels removed, %"; "" for metrics that give one number. See `step_values`.
    shares : metrics whose `shares` is the same non-empty word, and that want the same treatment and
        normalisation, are given to `score_together` in one call, so that they can share passes
        through the network.
    parameters : name of each parameter to its default; "required" where there is none.
    """

    name: str
    reference: str
    category: str
    direction: str
    unit: str
    needs: tuple[str, ...] = ()
    treatment: str = "signed"
    normalisation: str = "none"
    mask_rule: str = "none"
    reducer: str = ""
    step_axis: str = ""
    shares: str = ""
    parameters: ClassVar[dict[str, Any]] = {}

    def __init__(self, **parameters: Any) -> None:
        self.settings = checked_parameters(f"metric {self.name}", self.parameters, parameters)

    @abstractmethod
    def score(
        self,
        attributions: Tensor,
        images: Tensor,
        targets: Tensor,
        masks: Tensor | None,
        model: nn.Module | None = None,
        explain: Explain | None = None,
    ) -> Tensor:
        """Score a batch; no row may depend on the other rows.

        Parameters
        ----------
        attributions : float32 [N, H, W] at image size, treated and normalised as the facts say; a
            map that held NaN or infinity is NaN throughout.
        images : float32 [N, C, H, W] in [0, 1], as they were explained.
        targets : int64 [N], the class that was explained.
        masks : float32 or bool [N, H, W] as `mask_rule` says; None where the rule is "none".
        model, explain : given when `needs` names them.

        Returns
        -------
        float32 [N], or [N, steps] for a curve; NaN where the metric is undefined.
        """

    def step_values(self) -> list[float]:
        """Where the steps of a curve stand on the axis that `step_axis` names, in their order.

        A curve may end before its axis does. An empty list says that the steps are only counted: 0,
        1, 2, ...; so do metrics that give one number.
        """
        return []

    @classmethod
    def score_together(
        cls,
        metrics: Mapping[str, "Metric"],
        attributions: Tensor,
        images: Tensor,
        targets: Tensor,
        masks: Tensor | None,
        model: nn.Module | None = None,
        explain: Explain | None = None,
    ) -> dict[str, Tensor]:
        """Score a batch with several metrics (configured name to metric).

        The results are those of separate calls of `score`, whose parameters these are. Override
        this, and set `shares`, where the metrics can share passes.
        """
        return {
            name: metric.score(attributions, images, targets, masks, model, explain)
            for name, metric in metrics.items()
        }


def require_masks(metric: Metric, masks: Tensor | None) -> Tensor:
    """`masks`, or an `InputError` where there are none."""
    if masks is None:
        raise InputError(
            f"metric {metric.name} needs masks; leave it out for a data set that has none"
        )
    return masks


def per_image(values: Tensor) -> Tensor:
    """Flatten [N, H, W] to [N, H*W]."""
    return torch.flatten(values, start_dim=1)
