"""The concept methods by name."""

from sparsight.registration import Registry

CONCEPTS = Registry(
    "concept method",
    {
        "cav": "sparsight.concepts.cav:Cav",
        "concept_predictor": "sparsight.concepts.concept_predictor:ConceptPredictor",
        "craft": "sparsight.concepts.craft:Craft",
        "dissection": "sparsight.concepts.dissection:Dissection",
        "pcbm": "sparsight.concepts.pcbm:Pcbm",
        "tcav": "sparsight.concepts.tcav:Tcav",
    },
)
