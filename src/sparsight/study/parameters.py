"""Are the parameters of registered items those that the item knows, and of the right kind?"""

from collections.abc import Iterator, Mapping
from typing import Any

from sparsight.parameters import REQUIRED
from sparsight.study.phrases import TYPES, given, misread, unknown_name

_KINDS: tuple[tuple[type, str], ...] = (
    # bool before int, of which it is a subclass
    (bool, "boolean"),
    (int, "integer"),
    (float, "number"),
    (str, "string"),
    (list, "array"),
    (Mapping, "object"),
)


def parameter_problems(
    where: str, values: Mapping[str, Any], known: Mapping[str, Any]
) -> Iterator[str]:
    """One sentence for each parameter that is unknown, lacks, or is not of its default's kind.

    Parameters
    ----------
    where : dotted path of the parameters in the configuration.
    values : what the configuration gives.
    known : parameter to default, as the item's fact `parameters` says; `"required"` where there is
        none. A default that is a mapping is held against in the same way.
    """
    for name, value in values.items():
        key = f"{where}.{name}"
        if name not in known:
            yield unknown_name("parameter", where, name, known)
        elif isinstance(known[name], Mapping) and isinstance(value, Mapping):
            yield from parameter_problems(key, value, known[name])
        elif not _fits(value, known[name]):
            kind = _kind(known[name])
            yield f"{key} is {given(value)}, but must be {TYPES[kind]}{misread(value, kind)}."
    for name, default in known.items():
        if default == REQUIRED and name not in values:
            yield f"{where} lacks '{name}', which is required."


def _kind(value: Any) -> str:
    return next((kind for cls, kind in _KINDS if isinstance(value, cls)), "null")


def _fits(value: Any, default: Any) -> bool:
    if default is None or default == REQUIRED:
        return True
    if isinstance(default, str) and isinstance(value, Mapping):
        # a word that stands for a mapping, such as mnist's `validation: none`
        return True
    if default == "all" and _kind(value) == "integer":
        # how many, or all of them
        return True
    kinds = {_kind(default), "integer"} if isinstance(default, float) else {_kind(default)}
    return _kind(value) in kinds
