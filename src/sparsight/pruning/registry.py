"""What decides which weights fall."""

from sparsight.registration import Registry

CRITERIA = Registry(
    "criterion",
    {
        "magnitude": "sparsight.pruning.criteria:Magnitude",
        "random": "sparsight.pruning.criteria:RandomOrder",
    },
)
