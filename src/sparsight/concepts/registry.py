"""The concept methods by name; read before any job starts."""

from sparsight.registration import Registry

#: between the names of concepts that no training image of the bank tells apart
SAME = " = "


CONCEPTS = Registry(
    "concept method",
    {
        "cav": "sparsight.concepts.cav:Cav",
        "concept_predictor": "sparsight.concepts.cav:ConceptPredictor",
        "craft": "sparsight.concepts.craft:Craft",
        "dissection": "sparsight.concepts.dissection:Dissection",
        "pcbm": "sparsight.concepts.pcbm:Pcbm",
        "tcav": "sparsight.concepts.tcav:Tcav",
    },
)
