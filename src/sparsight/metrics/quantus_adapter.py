"""Any metric of the quantus library, named in the configuration as `quantus.<Class>`.

quantus is imported when a metric is made, never with this module: the import takes twice as long as
torch's.
"""

import inspect
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from sparsight.explain.base import check_foreign_class
from sparsight.explain.randomness import seeded
from sparsight.io.errors import InputError, hint
from sparsight.metrics.base import MapBatch, Metric
from sparsight.rounding import is_constant

# How quantus begins the assertions by which it refuses a map as such.
UNUSABLE_MAP = ("The elements in the attribution vector", "The attributions are uniformly",
                "Attributions should not all be less")  # fmt: skip


class QuantusMetric(Metric):
    """A quantus metric behind `Metric.score`; functions are named as in quantus.

    Category, direction, needs and reference are taken from the quantus class when an object is
    made; `foreign_facts` holds the same for readers that must not import (a test compares them).
    InputError for an unknown class or parameter, and for a class that cannot give one value per
    image.

    Differences from calling quantus directly:

    * A map that quantus would refuse if it came alone (constant, or negative everywhere) and an
      empty mask give NaN. In a batch quantus scores such maps, and takes an empty mask for a hit.
    * Default normalisation is by each map's own maximum, not by the maximum over the batch.
    * Metrics that call the network are scored image by image, seeded by the image's content
      (CRC-32), so that a value depends neither on the batch nor on the job, and levels are paired.
      The global generators are put back afterwards. An image whose map is constant when it is
      explained anew, which quantus refuses, scores NaN.
    * `return_aggregate` is always off. `RandomLogit` gets the network's number of classes, and
      draws the other class anew for each image.
    * `numpy.trapz` and `numpy.NaN`, which NumPy has dropped, are there while quantus runs.
    """

    name = "quantus"
    reference = "Hedström et al., JMLR 24 (2023), arXiv:2202.06861"
    unit = "as defined by quantus"
    #: those that cannot be used, and why
    foreign_refused: ClassVar[dict[str, str]] = {
        "BatchSufficiency": "it compares the images of a batch, so its value depends on its size",
        "Consistency": "it compares the images of a batch, so its value depends on the batch size",
        "Focus": "it needs mosaics of images of two classes, which are not made here",
        "InputInvariance": (
            "quantus 0.6 shifts the bias of the network's first module, which must be a "
            "convolution with a bias and without padding; that of a ResNet has none"
        ),
        "Metric": "it is the base class of quantus metrics",
        "Monotonicity": (
            "quantus 0.6 replaces pixels of the baseline by the baseline again, so that nothing "
            "changes and every map scores 1"
        ),
        "SensitivityN": "it correlates over the images of a batch and gives no value per image",
        "SmoothMPRT": (
            "in quantus 0.6 it explains by vanilla gradients, whatever explainer is given; use the "
            "method smooth_mprt"
        ),
        "Sufficiency": "it compares the images of a batch, so its value depends on the batch size",
    }
    #: those that quantus computes on grey images only, and why
    foreign_grey_only: ClassVar[dict[str, str]] = {
        "IROF": "quantus 0.6 gives its perturbation a mask of one channel; use the method irof",
        "ROAD": (
            "quantus 0.6 imputes the first channel alone (its issue 368); use the method road_morf"
        ),
    }
    foreign_facts: ClassVar[dict[str, tuple[str, str, tuple[str, ...]]]] = {
        "AUC": ("localisation", "higher", ("mask",)),
        "AttributionLocalisation": ("localisation", "higher", ("mask",)),
        "AvgSensitivity": ("robustness", "lower", ("model", "explainer")),
        "Completeness": ("axiomatic", "higher", ("model",)),
        "Complexity": ("complexity", "lower", ()),
        "Continuity": ("robustness", "lower", ("model", "explainer")),
        "EffectiveComplexity": ("complexity", "lower", ()),
        "EfficientMPRT": ("randomisation", "higher", ("model", "explainer")),
        "FaithfulnessCorrelation": ("faithfulness", "higher", ("model",)),
        "FaithfulnessEstimate": ("faithfulness", "higher", ("model",)),
        "IROF": ("faithfulness", "higher", ("model",)),
        "Infidelity": ("faithfulness", "lower", ("model",)),
        "LocalLipschitzEstimate": ("robustness", "lower", ("model", "explainer")),
        "MPRT": ("randomisation", "lower", ("model", "explainer")),
        "MaxSensitivity": ("robustness", "lower", ("model", "explainer")),
        "MonotonicityCorrelation": ("faithfulness", "higher", ("model",)),
        "NonSensitivity": ("axiomatic", "lower", ("model",)),
        "PixelFlipping": ("faithfulness", "lower", ("model",)),
        "PointingGame": ("localisation", "higher", ("mask",)),
        "ROAD": ("faithfulness", "lower", ("model",)),
        "RandomLogit": ("randomisation", "lower", ("model", "explainer")),
        "RegionPerturbation": ("faithfulness", "higher", ("model",)),
        "RelativeInputStability": ("robustness", "lower", ("model", "explainer")),
        "RelativeOutputStability": ("robustness", "lower", ("model", "explainer")),
        "RelativeRepresentationStability": ("robustness", "lower", ("model", "explainer")),
        "RelevanceMassAccuracy": ("localisation", "higher", ("mask",)),
        "RelevanceRankAccuracy": ("localisation", "higher", ("mask",)),
        "Selectivity": ("faithfulness", "lower", ("model",)),
        "Sparseness": ("complexity", "higher", ()),
        "TopKIntersection": ("localisation", "higher", ("mask",)),
    }

    def __init__(self, class_name: str, **parameters: Any) -> None:
        import quantus

        self.class_name = class_name
        self.name = f"quantus.{class_name}"
        check_foreign_class("quantus", class_name, self.foreign_refused, self.foreign_facts)
        self._class = getattr(quantus, class_name)
        self.category, self.direction, self.needs = self.foreign_facts[class_name]
        self.mask_rule = "binary" if "mask" in self.needs else "none"
        # The first entry under "References:", on one line.
        references = re.search(
            r"References:\s*(?:1\)|-)?\s*(.+?)(?=\n\s*\n|\n\s*2\)|\Z)",
            inspect.getdoc(self._class) or "",
            re.DOTALL,
        )
        if references:
            self.reference = " ".join(references.group(1).split())
        self.settings = arguments_of(self._class, parameters)
        self._metric: Any = None

    def score(self, batch: MapBatch) -> Tensor:
        at_hand = {"mask": batch.masks, "model": batch.model, "explainer": batch.explain}
        for need in self.needs:
            if at_hand[need] is None:
                raise InputError(f"metric {self.name} needs a {need}, and none was given")
        if self.class_name in self.foreign_grey_only and batch.images.shape[1] != 1:
            why = self.foreign_grey_only[self.class_name]
            raise InputError(f"metric {self.name} takes images of one channel only: {why}")
        usable = _usable_rows(batch)
        # Of an empty tensor `split` makes one empty part.
        group = 1 if "model" in self.needs else len(usable)
        groups = torch.split(usable, group) if len(usable) else ()
        found = [values for rows in groups for values in self._score_rows(batch, rows)]
        steps = max((values.size for values in found if values.ndim), default=0)
        scores = torch.full((len(batch), steps) if steps else (len(batch),), torch.nan)
        for row, values in zip(usable.tolist(), found, strict=True):
            value = torch.from_numpy(np.asarray(values, dtype=np.float32))
            if steps and value.ndim:
                # Curves of different lengths (numbers of segments) are filled with NaN.
                scores[row, : len(value)] = value
            elif not steps:
                scores[row] = value
        return scores.to(batch.attributions.device)

    def _score_rows(self, batch: MapBatch, rows: Tensor) -> list[np.ndarray]:
        """One array (a value or a curve) for each of `rows`; NaN where quantus refuses a map."""
        arguments = _arguments(batch, rows)
        seed = zlib.crc32(arguments["x_batch"].tobytes())
        try:
            if self._metric is None:
                own = {}
                if self.class_name == "RandomLogit" and "num_classes" not in self.settings:
                    own["num_classes"] = batch.logits(batch.images[:1]).shape[1]
                self._metric = self._class(**self.settings, **own)
            if self.class_name == "RandomLogit":
                self._metric.seed = (seed + self.settings.get("seed", 0)) % 2**32
            with seeded(seed, batch.images.device), _former_numpy_names():
                return _per_image(self._metric(**arguments), len(rows), self.name)
        except AssertionError as error:
            if not str(error).startswith(UNUSABLE_MAP):
                raise InputError(f"metric {self.name}: {error}") from error
            # An explanation made on the way is constant.
            return [np.array(np.nan)] * len(rows)
        except (ValueError, TypeError, IndexError) as error:
            raise InputError(f"metric {self.name}: {error}") from error


def _arguments(batch: MapBatch, rows: Tensor) -> dict[str, Any]:
    """Keyword arguments of a quantus metric; copied arrays, since quantus writes to them."""

    def array(values: Tensor) -> np.ndarray:
        return np.array(values[rows].detach().cpu().numpy())

    device = batch.images.device

    def explain_func(model: nn.Module, inputs: Any, targets: Any, **_: Any) -> np.ndarray:
        images = torch.as_tensor(inputs, dtype=torch.float32, device=device)
        classes = torch.as_tensor(targets, dtype=torch.int64, device=device)
        repeats = -(-len(images) // len(rows))
        of = rows.repeat(repeats)[: len(images)]
        maps = batch.explain_again(model=model, images=images, targets=classes, rows=of)
        return maps.detach().cpu().numpy()[:, None]

    return {
        "model": batch.model,
        "x_batch": array(batch.images),
        "y_batch": array(batch.targets),
        "a_batch": array(batch.attributions)[:, None],
        "s_batch": None if batch.masks is None else array(batch.masks)[:, None],
        "channel_first": True,
        "explain_func": None if batch.explain is None else explain_func,
        "device": str(device),
        "batch_size": len(rows),
    }


def _usable_rows(batch: MapBatch) -> Tensor:
    """Rows [n] whose map quantus would take on its own and whose mask, if any, is not empty."""
    flat = batch.attributions.flatten(1)
    usable = ~is_constant(flat, 1) & (flat.amax(dim=1) >= 0)  # False for NaN
    if batch.masks is not None:
        usable &= batch.masks.flatten(1).any(dim=1)
    return usable.nonzero()[:, 0].cpu()


def _per_image(result: Any, count: int, name: str) -> list[np.ndarray]:
    """Bring what quantus returns to one array for each image.

    A list holds a value or a curve for each image; a dict holds, for each step of a curve (a layer,
    a percentage), a value for each image, or one number where there is one image.
    """
    if isinstance(result, dict):
        columns = [np.asarray(values, dtype=np.float64).reshape(-1) for values in result.values()]
        if any(len(column) != count for column in columns):
            raise InputError(f"metric {name} gave no value per image")
        return list(np.stack(columns, axis=1))
    if len(result) != count:
        raise InputError(f"metric {name} gave {len(result)} values for {count} images")
    return [np.asarray(value, dtype=np.float64) for value in result]


@contextmanager
def _former_numpy_names() -> Iterator[None]:
    """Give numpy within the block the names that NumPy has dropped and quantus 0.6 uses."""
    former = {"trapz": np.trapezoid, "NaN": np.nan}
    added = {name: item for name, item in former.items() if name not in vars(np)}
    vars(np).update(added)
    try:
        yield
    finally:
        for name in added:
            del vars(np)[name]


# Set by the adapter; a configuration may not.
OWN_PARAMETERS = frozenset(
    {"disable_warnings", "display_progressbar", "default_plot_func", "return_aggregate"}
)


def arguments_of(quantus_class: Any, parameters: dict[str, Any]) -> dict[str, Any]:
    """Constructor arguments: parameters, checked, functions looked up, and the adapter's own."""
    owner = f"metric quantus.{quantus_class.__name__}"
    signature = inspect.signature(quantus_class).parameters
    named = {name for name, item in signature.items() if item.kind is not item.VAR_KEYWORD}
    allowed = sorted(named - OWN_PARAMETERS)
    arguments: dict[str, Any] = {}
    for key, value in parameters.items():
        if key not in allowed:
            raise InputError(f"{owner} has no parameter '{key}'{hint(key, allowed)}")
        is_function = key.endswith("_func") and isinstance(value, str)
        arguments[key] = _find_function(owner, key, value) if is_function else value
    normalisation = parameters.get("normalise_func", "normalise_by_max")
    if normalisation in ("normalise_by_max", "normalise_by_negative"):
        # By default quantus normalises by the maximum over the batch: over one image instead.
        own = arguments.get("normalise_func_kwargs") or {}
        arguments["normalise_func_kwargs"] = {"normalise_axes": [1, 2, 3], **own}
    arguments |= {"disable_warnings": True, "display_progressbar": False}
    arguments |= {"return_aggregate": False} if "return_aggregate" in named else {}
    return {key: value for key, value in arguments.items() if key in named}


def _find_function(owner: str, key: str, name: str) -> Any:
    from quantus.functions import loss_func, normalise_func, perturb_func, similarity_func

    known: dict[str, Any] = {}
    for module in (loss_func, normalise_func, perturb_func, similarity_func):
        known |= {
            found: item
            for found, item in vars(module).items()
            if inspect.isfunction(item) and item.__module__ == module.__name__
        }
    if name not in known:
        raise InputError(
            f"{owner}: quantus has no function '{name}' for '{key}'{hint(name, known)}"
        )
    return known[name]
