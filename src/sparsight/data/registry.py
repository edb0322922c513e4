"""Data sources by name."""

from sparsight.registration import Registry

SOURCES = Registry(
    "data source",
    {
        "digits": "sparsight.data.digits:Digits",
        "mnist": "sparsight.data.mnist:Mnist",
        "shapes": "sparsight.data.shapes:Shapes",
    },
)
