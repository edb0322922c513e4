"""Sparsight: what pruning a vision network does to its explanations.

For notebooks, without Snakemake: `load_results` reads the tables of a study; `explain`, `score`,
`compare` and `prune` work on a network and images in memory. Each is imported when it is used.
"""

TYPE_CHECKING = False  # importing it from typing would take longer than all the rest
if TYPE_CHECKING:
    from typing import Any

#: public name to the module that defines it
_PUBLIC = {
    "load_results": "sparsight.analysis.results",
}


def __getattr__(name: str) -> "Any":
    """Import a public function when it is first used."""
    if name not in _PUBLIC:
        raise AttributeError(f"module 'sparsight' has no attribute '{name}'")
    from importlib import import_module

    return getattr(import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    return [*globals(), *_PUBLIC]
