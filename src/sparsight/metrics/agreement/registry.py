"""The metrics of agreement that a configuration can name."""

from sparsight.registration import Registry

AGREEMENT = Registry(
    "agreement metric",
    {
        "spearman": "sparsight.metrics.agreement.ranks:Spearman",
        "top_k_iou": "sparsight.metrics.agreement.ranks:TopKIou",
        "ssim": "sparsight.metrics.agreement.structure:Ssim",
    },
)
