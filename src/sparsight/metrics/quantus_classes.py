"""Looking up quantus classes, what they need, and the arguments of their constructors.

quantus is imported by these functions, never with this module.
"""

import difflib
import inspect
import re
import warnings
from typing import Any

from sparsight.io.errors import InputError

# Set by the adapter; a configuration may not.
OWN_PARAMETERS = frozenset(
    {"disable_warnings", "display_progressbar", "default_plot_func", "return_aggregate"}
)


def needs_of(quantus_class: Any) -> tuple[str, ...]:
    """What a quantus class needs, from its category and from whether its code explains anew."""
    from quantus.metrics.base import Metric as Base

    category = quantus_class.evaluation_category.value
    if category == "Localisation":
        return ("mask",)
    if category == "Complexity":
        return ()
    own = [base for base in quantus_class.__mro__ if issubclass(base, Base)]
    with warnings.catch_warnings():
        # quantus has escape sequences that newer Pythons warn of when they parse it
        warnings.simplefilter("ignore")
        code = "".join(inspect.getsource(base) for base in own if base is not Base)
    explains = "explain_batch(" in code or "assert_explain_func" in code
    return ("model", "explainer") if explains else ("model",)


def _classes() -> dict[str, Any]:
    import quantus
    from quantus.metrics.base import Metric as Base

    return {
        name: found
        for name, found in vars(quantus).items()
        if inspect.isclass(found) and issubclass(found, Base)
    }


def find_class(class_name: str) -> Any:
    """The quantus metric class of that name; `InputError` for an unknown one."""
    known = _classes()
    if class_name not in known:
        near = difflib.get_close_matches(class_name, known, 3)
        hint = f"; did you mean {' or '.join(f'quantus.{name}' for name in near)}?" if near else ""
        raise InputError(f"quantus has no metric '{class_name}'{hint}")
    return known[class_name]


def reference_of(quantus_class: Any) -> str:
    """The first entry under "References:" in the class's docstring, on one line; else empty."""
    text = inspect.getdoc(quantus_class) or ""
    found = re.search(r"References:\s*(?:1\)|-)?\s*(.+?)(?=\n\s*\n|\n\s*2\)|\Z)", text, re.DOTALL)
    return " ".join(found.group(1).split()) if found else ""


def arguments_of(quantus_class: Any, given: dict[str, Any]) -> dict[str, Any]:
    """Constructor arguments: `given`, checked, with functions looked up, and the adapter's own."""
    owner = f"metric quantus.{quantus_class.__name__}"
    signature = inspect.signature(quantus_class).parameters
    named = {name for name, item in signature.items() if item.kind is not item.VAR_KEYWORD}
    allowed = sorted(named - OWN_PARAMETERS)
    arguments: dict[str, Any] = {}
    for key, value in given.items():
        if key not in allowed:
            raise InputError(f"{owner} has no parameter '{key}' (known: {', '.join(allowed)})")
        is_function = key.endswith("_func") and isinstance(value, str)
        arguments[key] = _find_function(owner, key, value) if is_function else value
    if given.get("normalise_func", "normalise_by_max") in (
        "normalise_by_max",
        "normalise_by_negative",
    ):
        # By default quantus normalises by the maximum over the batch: over one image instead.
        own = arguments.get("normalise_func_kwargs") or {}
        arguments["normalise_func_kwargs"] = {"normalise_axes": [1, 2, 3], **own}
    arguments |= {"disable_warnings": True, "display_progressbar": False}
    arguments |= {"return_aggregate": False} if "return_aggregate" in named else {}
    return {key: value for key, value in arguments.items() if key in named}


def _find_function(owner: str, key: str, name: str) -> Any:
    from quantus.functions import loss_func, normalise_func, perturb_func, similarity_func

    known: dict[str, Any] = {}
    for module in (loss_func, normalise_func, perturb_func, similarity_func):
        known |= {
            found: item
            for found, item in vars(module).items()
            if inspect.isfunction(item) and item.__module__ == module.__name__
        }
    if name not in known:
        near = difflib.get_close_matches(name, known, 1)
        hint = f"; did you mean '{near[0]}'?" if near else ""
        raise InputError(f"{owner}: quantus has no function '{name}' for '{key}'{hint}")
    return known[name]
