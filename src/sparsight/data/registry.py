"""Data sources by name."""

from sparsight.registration import Registry

SOURCES = Registry(
    "data source",
    {
        "arrays": "sparsight.data.sources.arrays:Arrays",
        "cub200": "sparsight.data.sources.cub200:Cub200",
        "derm7pt": "sparsight.data.sources.derm7pt:Derm7pt",
        "digits": "sparsight.data.sources.digits:Digits",
        "fashion_mnist": "sparsight.data.sources.fashion_mnist:FashionMnist",
        "ham10000": "sparsight.data.sources.ham10000:Ham10000",
        "image_folder": "sparsight.data.sources.image_folder:ImageFolder",
        "imagenette": "sparsight.data.sources.imagenette:Imagenette",
        "mnist": "sparsight.data.sources.mnist:Mnist",
        "shapes": "sparsight.data.sources.shapes:Shapes",
        "trojaned": "sparsight.data.sources.trojaned:Trojaned",
    },
)
