"""The concept methods by name."""

from sparsight.registration import Registry

CONCEPTS = Registry(
    "concept method",
    {
        "craft": "sparsight.concepts.craft:Craft",
        "dissection": "sparsight.concepts.dissection:Dissection",
    },
)
