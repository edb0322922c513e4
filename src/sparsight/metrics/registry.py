"""The metrics that a configuration can name."""

from sparsight.registration import Registry

METRICS = Registry(
    "metric",
    {
        "soft_iou": "sparsight.metrics.localisation:SoftIou",
        "area_matched_iou": "sparsight.metrics.localisation:AreaMatchedIou",
        "otsu_iou": "sparsight.metrics.localisation:OtsuIou",
        "affine_iou": "sparsight.metrics.localisation:AffineIou",
        "pointing_game": "sparsight.metrics.localisation:PointingGame",
        "pixel_roc_auc": "sparsight.metrics.localisation:PixelRocAuc",
        "relevance_mass_accuracy": "sparsight.metrics.localisation:RelevanceMassAccuracy",
        "relevance_rank_accuracy": "sparsight.metrics.localisation:RelevanceRankAccuracy",
        "background_share": "sparsight.metrics.localisation:BackgroundShare",
        "gini_sparseness": "sparsight.metrics.complexity:GiniSparseness",
        "entropy": "sparsight.metrics.complexity:Entropy",
        "effective_complexity": "sparsight.metrics.complexity:EffectiveComplexity",
        "max_sensitivity": "sparsight.metrics.robustness:MaxSensitivity",
        "average_sensitivity": "sparsight.metrics.robustness:AverageSensitivity",
        "local_lipschitz": "sparsight.metrics.robustness:LocalLipschitz",
        "efficient_mprt": "sparsight.metrics.randomisation:EfficientMprt",
        "smooth_mprt": "sparsight.metrics.randomisation:SmoothMprt",
        "random_logit": "sparsight.metrics.randomisation:RandomLogit",
        "heatmap_mean": "sparsight.metrics.complexity:HeatmapMean",
        "heatmap_spread": "sparsight.metrics.complexity:HeatmapSpread",
        "insertion": "sparsight.metrics.faithfulness:Insertion",
        "deletion": "sparsight.metrics.faithfulness:Deletion",
        "pixel_flipping": "sparsight.metrics.faithfulness:PixelFlipping",
        "road_morf": "sparsight.metrics.road:RoadMorf",
        "road_lerf": "sparsight.metrics.road:RoadLerf",
        "road_morf_published": "sparsight.metrics.road:RoadMorfPublished",
        "faithfulness_correlation": ("sparsight.metrics.faithfulness:FaithfulnessCorrelation"),
        "infidelity": "sparsight.metrics.faithfulness:Infidelity",
        "sufficiency": "sparsight.metrics.faithfulness:Sufficiency",
        "irof": "sparsight.metrics.faithfulness:Irof",
    },
    adapters={"quantus": "sparsight.metrics.quantus_adapter:QuantusMetric"},
)

#: metrics that need a reference: they compare the maps of two networks
AGREEMENT = Registry(
    "agreement metric",
    {
        "spearman": "sparsight.metrics.agreement:Spearman",
        "top_k_iou": "sparsight.metrics.agreement:TopKIou",
        "ssim": "sparsight.metrics.agreement:Ssim",
    },
)
