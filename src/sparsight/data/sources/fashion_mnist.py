"""Fashion-MNIST: 70,000 articles of clothing of 28×28 pixels, in four idx files like MNIST's."""

from typing import Any, ClassVar

from sparsight.data.sources.mnist import Mnist


class FashionMnist(Mnist):
    """Fashion-MNIST; files, splits, ids and masks as of `Mnist`: the article is the object.

    The package `dataset-fashion-mnist` of Debian and Ubuntu holds all images. Its files are found
    where it puts them.

    Settings
    --------
    mirrors : addresses of folders with the four files, tried in order.
    validation : `none`, or {share: 0.1, seed: 0}: a stratified, seeded share of the training set.
    """

    name: ClassVar[str] = "fashion_mnist"
    reference: ClassVar[str] = "Xiao, Rasul, Vollgraf 2017, arXiv:1708.07747"
    licence: ClassVar[str] = "MIT (Zalando SE)"
    folder: ClassVar[str] = "fashion_mnist"
    other_folders: ClassVar[tuple[str, ...]] = (
        "fashion-mnist",
        "FashionMNIST/raw",
        "/usr/share/datasets/fashion-mnist",
    )
    parameters: ClassVar[dict[str, Any]] = {
        "mirrors": [
            "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
            "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
        ],
        "validation": "none",
    }
    checksums: ClassVar[dict[str, str]] = {
        "train-images-idx3-ubyte.gz": (
            "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84"
        ),
        "train-labels-idx1-ubyte.gz": (
            "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845"
        ),
        "t10k-images-idx3-ubyte.gz": (
            "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073"
        ),
        "t10k-labels-idx1-ubyte.gz": (
            "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5"
        ),
    }
    unpacked: ClassVar[dict[str, str]] = {
        "train-images-idx3-ubyte.gz": (
            "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888"
        ),
        "train-labels-idx1-ubyte.gz": (
            "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9"
        ),
        "t10k-images-idx3-ubyte.gz": (
            "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b"
        ),
        "t10k-labels-idx1-ubyte.gz": (
            "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34"
        ),
    }
    articles: ClassVar[tuple[str, ...]] = (
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    )

    @classmethod
    def class_names(cls) -> list[str]:
        """Such as `Ankle boot`."""
        return list(cls.articles)
