"""The metrics that a configuration can name."""

from sparsight.registration import Registry

METRICS = Registry(
    "metric",
    {
        "soft_iou": "sparsight.metrics.localisation:SoftIou",
        "area_matched_iou": "sparsight.metrics.localisation:AreaMatchedIou",
        "pointing_game": "sparsight.metrics.localisation:PointingGame",
        "gini_sparseness": "sparsight.metrics.complexity:GiniSparseness",
    },
    adapters={"quantus": "sparsight.metrics.quantus_adapter:QuantusMetric"},
)
