"""The classes that the explain adapters list without an import are those that they can use."""

import inspect

import pytest

from sparsight.explain.registry import EXPLAINERS
from sparsight.io.errors import InputError

LIBRARIES = {"captum": "captum.attr", "grad_cam": "pytorch_grad_cam"}


@pytest.mark.parametrize("prefix", LIBRARIES)
def test_listed_classes_are_the_usable_ones(prefix: str) -> None:
    library = pytest.importorskip(LIBRARIES[prefix])
    listed = EXPLAINERS.facts(f"{prefix}.Any")["foreign_classes"]
    names = [name for name, value in vars(library).items() if inspect.isclass(value)]
    found = {name for name in names if not _is_refused(prefix, name)}
    assert set(listed) == found


def _is_refused(prefix: str, name: str) -> bool:
    """Whether the adapter refuses the class itself, whatever its parameters."""
    try:
        EXPLAINERS.load(f"{prefix}.{name}")()
    except InputError as error:
        return "cannot be used" in str(error) or " class '" in str(error)
    except (TypeError, ValueError):
        return False
    return False
