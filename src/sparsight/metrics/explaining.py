"""The explainer of the attributions that are scored, for metrics that explain anew."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from sparsight.explain.base import Explainer
from sparsight.io.errors import InputError
from sparsight.metrics.base import Explain, Metric


class BatchExplainer:
    """An explainer bound to the ids of a batch; see `sparsight.metrics.base.Explain`.

    Parameters
    ----------
    explainer : the explainer.
    image_ids : int64 [N] of the scored batch.
    name : the explainer's configured name, with which its randomness is seeded.
    prepare : raw maps [n, h, w] to treated and normalised maps [n, H, W].
    """

    def __init__(
        self,
        explainer: Explainer,
        image_ids: Tensor,
        name: str,
        prepare: Callable[[Tensor], Tensor],
    ) -> None:
        self._explainer, self._name, self._prepare = explainer, name, prepare
        self._image_ids = image_ids.cpu()

    def __call__(
        self, model: nn.Module, images: Tensor, targets: Tensor, rows: Tensor | None = None
    ) -> Tensor:
        """float32 [n, H, W]; at most the scored batch's number of images is explained at a time."""
        count = len(self._image_ids)
        if rows is None:
            if len(images) % count:
                raise InputError(
                    f"{len(images)} images cannot be matched to a batch of {count} without rows"
                )
            rows = torch.arange(len(images)) % count
        ids = self._image_ids[rows.cpu()]
        parts = [
            self._prepare(self._explainer.explain(model, some, classes, some_ids, self._name))
            for some, classes, some_ids in zip(
                *(torch.split(values, count) for values in (images, targets, ids)), strict=True
            )
        ]
        return torch.cat(parts)


def require_explainer(
    metric: Metric, model: nn.Module | None, explain: Explain | None
) -> tuple[nn.Module, Explain]:
    """Both as they are, or an `InputError` where one is missing."""
    if model is None or explain is None:
        raise InputError(f"metric {metric.name} explains anew: it needs a network and an explainer")
    return model, explain
