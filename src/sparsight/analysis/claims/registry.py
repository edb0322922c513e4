"""The tests of claims that a configuration can name."""

from sparsight.registration import Registry

CLAIMS = Registry(
    "claim test",
    {
        "correlation": "sparsight.analysis.claims.correlation:Correlation",
        "no_loss": "sparsight.analysis.claims.loss:NoLoss",
        "peak": "sparsight.analysis.claims.peak:Peak",
        "rise": "sparsight.analysis.claims.rise:Rise",
        "gain_explained": "sparsight.analysis.claims.gain:GainExplained",
        "between_pruners": "sparsight.analysis.claims.between:BetweenPruners",
        "between_explainers": "sparsight.analysis.claims.explainers:BetweenExplainers",
        "change": "sparsight.analysis.claims.change:Change",
        "correct_minus_incorrect": "sparsight.analysis.claims.correctness:CorrectMinusIncorrect",
        "concept_change": "sparsight.analysis.claims.concepts:ConceptChange",
        "concept_in_top": "sparsight.analysis.claims.concepts:ConceptInTop",
        "concept_drift_beyond_retraining": "sparsight.analysis.claims.concepts:ConceptDrift",
    },
)
