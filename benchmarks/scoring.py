"""Our batched metrics beside those of quantus: equal values on equal inputs, metric by metric."""

from collections.abc import Callable

import numpy as np
import torch
from sidebyside import Row, compare

from sparsight.metrics.base import MapBatch
from sparsight.metrics.registry import METRICS

COUNT, SIDE = 500, 28
# Ours, and the class of quantus. Its defaults divide by the maximum of the batch; all maps have 1.
PAIRS = {
    "pointing_game": "PointingGame",
    "relevance_mass_accuracy": "RelevanceMassAccuracy",
    "relevance_rank_accuracy": "RelevanceRankAccuracy",
    "pixel_roc_auc": "AUC",
    "gini_sparseness": "Sparseness",
    "entropy": "Complexity",
    "effective_complexity": "EffectiveComplexity",
}
TOLERANCE = 1e-5


def inputs() -> tuple[torch.Tensor, torch.Tensor]:
    """Heatmaps float32 [N, H, W] in (0, 1], and masks bool of a fifth of the image.

    No two pixels of a map are alike: how ties count differs (quantus lets their order in memory, or
    rounding, decide). Squared ranks, so that one pixel in ten holds a quarter of the attribution.
    """
    draw = torch.Generator().manual_seed(0)
    ranks = torch.rand((COUNT, SIDE * SIDE), generator=draw).argsort(dim=1) + 1
    heatmaps = (ranks / (SIDE * SIDE)).square().view(COUNT, SIDE, SIDE)
    return heatmaps, torch.rand((COUNT, SIDE, SIDE), generator=draw) > 0.8


def rows() -> list[Row]:
    """One row a metric, and one for all together."""
    import quantus

    torch.set_num_threads(1)
    heatmaps, masks = inputs()
    images, targets = torch.zeros(COUNT, 1, SIDE, SIDE), torch.zeros(COUNT, dtype=torch.int64)

    def ours(name: str) -> Callable[[], torch.Tensor]:
        metric = METRICS.load(name)()
        given = masks if metric.mask_rule == "binary" else None
        return lambda: metric.score(MapBatch(heatmaps, images, targets, given))

    def theirs(class_name: str) -> Callable[[], list[float]]:
        metric = getattr(quantus, class_name)(disable_warnings=True, display_progressbar=False)
        arrays = {
            "x_batch": images.numpy(),
            "y_batch": targets.numpy(),
            "a_batch": heatmaps.numpy()[:, None],
            "s_batch": masks.numpy()[:, None],
        }
        # quantus writes to its input, so each call gets a copy; that takes a hundredth of the time.
        return lambda: metric(
            model=None,
            **{name: array.copy() for name, array in arrays.items()},
            channel_first=True,
            device="cpu",
            batch_size=COUNT,
        )

    work = {name: (ours(name), theirs(class_name)) for name, class_name in PAIRS.items()}
    for name, (first, second) in work.items():
        expected = np.asarray(second(), dtype=np.float64)
        difference = np.abs(first().numpy() - expected).max()
        assert difference <= TOLERANCE, f"{name}: the values differ by {difference}"
    found = [
        compare(f"{name}, {COUNT} maps", *pair, f"quantus.{PAIRS[name]}", "reported")
        for name, pair in work.items()
    ]
    together = compare(
        f"these {len(PAIRS)} metrics, {COUNT} maps",
        lambda: [first() for first, _ in work.values()],
        lambda: [second() for _, second in work.values()],
        "quantus",
        "≥ 5",
    )
    return [*found, together]
