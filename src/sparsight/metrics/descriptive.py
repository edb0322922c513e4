"""Description of the heatmap itself, apart from any mask: neither direction is better.

The thesis (Lukkien) gives mean .179 and standard deviation .218 at iteration 0, .236 and .252 at
iteration 10, and suspects that they, rather than a better localisation, raise the IoU.
"""

from torch import Tensor, nn

from sparsight.metrics.base import Explain, Metric, per_image


def heatmap_mean(heatmaps: Tensor) -> Tensor:
    """Mean over the pixels, float32 [N], of heatmaps float32 [N, H, W]; NaN where they hold NaN."""
    return per_image(heatmaps).mean(dim=1)


def heatmap_spread(heatmaps: Tensor) -> Tensor:
    """Standard deviation over the pixels, divisor n: float32 [N] of float32 [N, H, W].

    NaN where they hold NaN.
    """
    values = per_image(heatmaps)
    # torch's own `std` is some twenty times slower on many short rows.
    return (values - values.mean(dim=1, keepdim=True)).square().mean(dim=1).sqrt()


class HeatmapMean(Metric):
    """Mean of the heatmap in [0, 1]: how much of the image is highlighted, on average.

    Negative attributions count as 0. A constant map shows nothing: it is 0 after min-max, and so is
    its mean.
    """

    name = "heatmap_mean"
    reference = "Lukkien, The effect of unstructured pruning on the explanatory quality of heatmaps"
    category = "descriptive"
    direction = ""
    unit = "grey level, 0 to 1"
    needs = ()
    treatment = "positive"
    normalisation = "min_max"
    mask_rule = "none"

    def score(
        self,
        attributions: Tensor,
        images: Tensor,
        targets: Tensor,
        masks: Tensor | None,
        model: nn.Module | None = None,
        explain: Explain | None = None,
    ) -> Tensor:
        """float32 [N]; see `Metric.score` and `heatmap_mean`."""
        return heatmap_mean(attributions)


class HeatmapSpread(Metric):
    """Standard deviation of the heatmap in [0, 1] over its pixels (divisor n).

    Negative attributions count as 0. A constant map scores 0.
    """

    name = "heatmap_spread"
    reference = "Lukkien, The effect of unstructured pruning on the explanatory quality of heatmaps"
    category = "descriptive"
    direction = ""
    unit = "grey level, 0 to 0.5"
    needs = ()
    treatment = "positive"
    normalisation = "min_max"
    mask_rule = "none"

    def score(
        self,
        attributions: Tensor,
        images: Tensor,
        targets: Tensor,
        masks: Tensor | None,
        model: nn.Module | None = None,
        explain: Explain | None = None,
    ) -> Tensor:
        """float32 [N]; see `Metric.score` and `heatmap_spread`."""
        return heatmap_spread(attributions)
