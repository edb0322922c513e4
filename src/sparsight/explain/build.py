"""From configuration to explainers, and from a batch to all their maps."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from sparsight.explain.base import Explainer
from sparsight.explain.registry import EXPLAINERS
from sparsight.io.errors import InputError, InvariantError
from sparsight.io.pace import followed
from sparsight.registration import UnknownName


def build_explainers(entries: Mapping[str, Mapping[str, Any]]) -> dict[str, Explainer]:
    """Explainers from their configuration.

    Parameters
    ----------
    entries : configured name to `{method: ..., parameters: {...}}`; other keys are left alone.

    Raises
    ------
    InputError
        For an unknown method or an unknown, missing or unusable parameter.
    """
    built = {}
    for name, entry in entries.items():
        try:
            built[name] = EXPLAINERS.load(entry["method"])(**(entry.get("parameters") or {}))
        except UnknownName as error:
            raise InputError(f"explainers.{name}.method: {error}") from error
        except InputError as error:
            raise InputError(f"explainers.{name}: {error}") from error
    return built


def explain_batch(
    explainers: Mapping[str, Explainer],
    model: nn.Module,
    images: Tensor,
    targets: Tensor,
    image_ids: Tensor,
) -> dict[str, Tensor]:
    """Maps of a batch from several explainers, which share passes where they can.

    Parameters
    ----------
    explainers : configured name to explainer.
    model, images, targets, image_ids : see `Explainer.explain`.

    Returns
    -------
    configured name to float32 [N,h,w], in the order of `explainers`.

    Raises
    ------
    InvariantError
        When an explainer gives anything else.
    """
    groups: dict[str, dict[str, Explainer]] = {}
    for name, explainer in explainers.items():
        # A configured name holds no slash, so an explainer that shares nothing is alone.
        groups.setdefault(explainer.shares or f"/{name}", {})[name] = explainer
    found: dict[str, Tensor] = {}
    for group in followed(groups.values(), "explainers of a batch", len(groups)):
        first = next(iter(group.values()))
        found.update(first.explain_together(group, model, images, targets, image_ids))
    for name, maps in found.items():
        if maps.ndim != 3 or len(maps) != len(images) or maps.dtype != torch.float32:
            raise InvariantError(
                f"explainer '{name}' gave {maps.dtype} {tuple(maps.shape)} for {len(images)} "
                "images, not float32 [N,h,w]"
            )
    return {name: found[name] for name in explainers}
