"""The concept methods by name."""

from sparsight.registration import Registry

CONCEPTS = Registry(
    "concept method",
    {
        "cav": "sparsight.concepts.labelled.cav:Cav",
        "concept_predictor": "sparsight.concepts.labelled.concept_predictor:ConceptPredictor",
        "craft": "sparsight.concepts.craft.craft:Craft",
        "dissection": "sparsight.concepts.dissection.dissection:Dissection",
        "pcbm": "sparsight.concepts.bottlenecks.pcbm:Pcbm",
        "tcav": "sparsight.concepts.tcav.tcav:Tcav",
    },
)
