"""Sparsight: what pruning a vision network does to its explanations.

For notebooks, without Snakemake: `load_results` reads the tables of a study; `explain`, `score`,
`compare` and `prune` work on a network and images in memory, and `Normalise` goes before a network
that wants normalised images. Each is imported when it is used.
"""

import sys
from types import ModuleType

TYPE_CHECKING = False  # importing it from typing would take longer than all the rest
if TYPE_CHECKING:
    from typing import Any

#: public name to the module that defines it
_PUBLIC = {
    "load_results": "sparsight.analysis.results",
    **dict.fromkeys(("explain", "score", "compare", "prune"), "sparsight.notebook"),
    "Normalise": "sparsight.models.base",
}


class _Room(ModuleType):
    """The room `sparsight.explain`, which can be called like the function of its name."""

    def __call__(self, *arguments: "Any", **keywords: "Any") -> "Any":
        return _imported(self.__name__.rpartition(".")[2])(*arguments, **keywords)


class _Package(ModuleType):
    """This package; importing a room sets it as an attribute of the package."""

    def __setattr__(self, name: str, value: "Any") -> None:
        if name in _PUBLIC and isinstance(value, ModuleType):
            value.__class__ = _Room
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package


def __getattr__(name: str) -> "Any":
    """Import a public function when it is first used."""
    if name not in _PUBLIC:
        raise AttributeError(f"module 'sparsight' has no attribute '{name}'")
    return _imported(name)


def _imported(name: str) -> "Any":
    from importlib import import_module

    return getattr(import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    return [*globals(), *_PUBLIC]
