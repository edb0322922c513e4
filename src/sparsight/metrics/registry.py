"""The metrics that a configuration can name."""

from sparsight.registration import Registry

METRICS = Registry(
    "metric",
    {
        "soft_iou": "sparsight.metrics.localisation:SoftIou",
        "area_matched_iou": "sparsight.metrics.localisation:AreaMatchedIou",
        "otsu_iou": "sparsight.metrics.fits:OtsuIou",
        "affine_iou": "sparsight.metrics.fits:AffineIou",
        "pointing_game": "sparsight.metrics.localisation:PointingGame",
        "pixel_roc_auc": "sparsight.metrics.roc:PixelRocAuc",
        "relevance_mass_accuracy": "sparsight.metrics.relevance:RelevanceMassAccuracy",
        "relevance_rank_accuracy": "sparsight.metrics.relevance:RelevanceRankAccuracy",
        "background_share": "sparsight.metrics.relevance:BackgroundShare",
        "gini_sparseness": "sparsight.metrics.complexity:GiniSparseness",
        "entropy": "sparsight.metrics.complexity:Entropy",
        "effective_complexity": "sparsight.metrics.complexity:EffectiveComplexity",
        "max_sensitivity": "sparsight.metrics.robustness.sensitivity:MaxSensitivity",
        "average_sensitivity": "sparsight.metrics.robustness.sensitivity:AverageSensitivity",
        "local_lipschitz": "sparsight.metrics.robustness.sensitivity:LocalLipschitz",
        "efficient_mprt": "sparsight.metrics.randomisation.mprt:EfficientMprt",
        "smooth_mprt": "sparsight.metrics.randomisation.mprt:SmoothMprt",
        "random_logit": "sparsight.metrics.randomisation.random_logit:RandomLogit",
        "heatmap_mean": "sparsight.metrics.descriptive:HeatmapMean",
        "heatmap_spread": "sparsight.metrics.descriptive:HeatmapSpread",
        "insertion": "sparsight.metrics.faithfulness.pixel_curves:Insertion",
        "deletion": "sparsight.metrics.faithfulness.pixel_curves:Deletion",
        "pixel_flipping": "sparsight.metrics.faithfulness.pixel_curves:PixelFlipping",
        "road_morf": "sparsight.metrics.road:RoadMorf",
        "road_lerf": "sparsight.metrics.road:RoadLerf",
        "road_morf_published": "sparsight.metrics.road:RoadMorfPublished",
        "faithfulness_correlation": (
            "sparsight.metrics.faithfulness.correlation:FaithfulnessCorrelation"
        ),
        "infidelity": "sparsight.metrics.faithfulness.infidelity:Infidelity",
        "sufficiency": "sparsight.metrics.faithfulness.sufficiency:Sufficiency",
        "irof": "sparsight.metrics.faithfulness.irof:Irof",
    },
    adapters={"quantus": "sparsight.metrics.quantus_adapter:QuantusMetric"},
)
