"""The libraries that factorise: imported without what they do not need, and seeded from outside."""

import functools
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType
from typing import Any

import numpy as np
import torch


@contextmanager
def _placeholder(name: str) -> Iterator[None]:
    """An empty module `name`, through which its submodules can be imported; gone at the end.

    Left in place, it would make other libraries believe that they have the real one.
    """
    if name in sys.modules:
        yield
        return
    module, spec = ModuleType(name), find_spec(name)
    module.__spec__ = ModuleSpec(name, None)
    if spec is not None and spec.submodule_search_locations is not None:
        module.__path__ = list(spec.submodule_search_locations)
    sys.modules[name] = module
    try:
        yield
    finally:
        del sys.modules[name]


@functools.cache
def craft_class() -> Any:
    """`Craft` of craft-xai, whose module imports TensorFlow for a sampler that it does not use."""
    with _placeholder("tensorflow"):
        from craft.craft_torch import Craft

    return Craft


@functools.cache
def overcomplete_class() -> Any:
    """`NMF` of overcomplete, without the package's own start.

    That imports every model and picture of the library, which takes long, and asks matplotlib for
    a function that matplotlib 3.9 has dropped.
    """
    with _placeholder("overcomplete"):
        from overcomplete.optimization.nmf import NMF

    return NMF


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed the global generators of numpy and torch (CPU), and put them back at the end."""
    state = np.random.get_state()
    with torch.random.fork_rng(devices=[]):
        try:
            torch.manual_seed(seed)
            np.random.seed(seed % 2**32)
            yield
        finally:
            np.random.set_state(state)


@contextmanager
def quiet() -> Iterator[None]:
    """No warnings: of an iteration that ends at its limit, and of copied tensors."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
