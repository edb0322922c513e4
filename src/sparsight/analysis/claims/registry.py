"""The tests of claims that a configuration can name."""

from sparsight.registration import Registry

#: keys that every claim may have; those of its test come on top
COMMON_KEYS = (
    *("name", "claim", "test", "tier", "after", "dataset", "model", "pruner"),
    *("explainer", "metric", "condition", "subset", "published", "smallest", "because"),
)
#: what a claim can be about besides metrics
ACCURACY_MEASURE = "accuracy"
#: three networks have more wrong signs than they should
FEWEST_NETWORKS = 4


CLAIMS = Registry(
    "claim test",
    {
        "correlation": "sparsight.analysis.claims.kinds:Correlation",
        "no_loss": "sparsight.analysis.claims.kinds:NoLoss",
        "value": "sparsight.analysis.claims.kinds:Value",
        "peak": "sparsight.analysis.claims.kinds:Peak",
        "rise": "sparsight.analysis.claims.kinds:Rise",
        "gain_explained": "sparsight.analysis.claims.kinds:GainExplained",
        "between_pruners": "sparsight.analysis.claims.kinds:BetweenPruners",
        "at_equal_accuracy": "sparsight.analysis.claims.equal_accuracy:AtEqualAccuracy",
        "between_explainers": "sparsight.analysis.claims.kinds:BetweenExplainers",
        "between_copies": "sparsight.analysis.claims.kinds:BetweenCopies",
        "change": "sparsight.analysis.claims.kinds:Change",
        "pooled": "sparsight.analysis.claims.kinds:Pooled",
        "correct_minus_incorrect": "sparsight.analysis.claims.kinds:CorrectMinusIncorrect",
        "drift_foretells_flip": "sparsight.analysis.claims.kinds:DriftForetellsFlip",
        "concept_change": "sparsight.analysis.claims.concepts:ConceptChange",
        "concept_in_top": "sparsight.analysis.claims.concepts:ConceptInTop",
        "concept_drift_beyond_retraining": "sparsight.analysis.claims.concepts:ConceptDrift",
    },
)
