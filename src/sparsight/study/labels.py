"""What people read in place of configured names: *Grad-CAM++ at conv2*, not `grad_cam_pp_conv2`.

A label is the `label` of the catalogue's entry. Without one it is made of the method's own label
and the parameters that are not its defaults, and where there is no method, of the words of the
name. Jobs that draw, or write pages, have the labels in their settings
(`sparsight.plots.labels`); tables keep the names.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from sparsight.concepts.registry import CONCEPTS
from sparsight.explain.registry import EXPLAINERS
from sparsight.metrics.registry import AGREEMENT, METRICS
from sparsight.registration import Registry
from sparsight.spade.registry import derived_name
from sparsight.study.plan import CHOICES

#: part of the catalogue to the column in which tables have its names
COLUMNS = {
    "datasets": "dataset",
    "models": "model",
    "pruners": "pruner",
    "explainers": "explainer",
    "agreement": "metric",
    "metrics": "metric",
    "concepts": "concept",
    "sample_pruners": "sample_pruner",
}
#: characters of the parameters of a method; where they are more, its configured name stands instead
LONGEST = 40
_METHODS: dict[str, Registry] = {
    "explainers": EXPLAINERS,
    "metrics": METRICS,
    "agreement": AGREEMENT,
    "concepts": CONCEPTS,
}
_TARGETS = {
    "true": "true class",
    "predicted": "predicted class",
    "dense_predicted": "class that the dense network predicts",
}


def study_labels(config: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """Column of tables to configured name to label, of all that a study names.

    Where two names of a column would read alike, both stand behind their labels.

    Parameters
    ----------
    config : as `sparsight.study.configuration.resolve` gives it.
    """
    found: dict[str, dict[str, str]] = {column: {} for column in COLUMNS.values()}
    for part, column in COLUMNS.items():
        chosen = config if part in CHOICES else config.get("sample_pruning", {}).get("pruners", [])
        names = chosen[part] if isinstance(chosen, Mapping) else chosen
        found[column] |= {name: entry_label(config["catalogue"], part, name) for name in names}
    return {column: _told_apart(labels) for column, labels in found.items()}


def _told_apart(labels: Mapping[str, str]) -> dict[str, str]:
    counts = Counter(labels.values())
    return {
        name: label if counts[label] == 1 else f"{label} [{name}]" for name, label in labels.items()
    }


def entry_label(catalogue: Mapping[str, Any], part: str, name: str) -> str:
    """The label of an entry in a part of the catalogue, whatever else has the same."""
    entry = catalogue[part][name]
    if pruner := entry.get("sample_pruner"):
        base = name.removeprefix(derived_name(pruner, ""))
        copies = entry_label(catalogue, "sample_pruners", pruner)
        return f"{entry_label(catalogue, part, base)} on {copies} copies"
    if "label" in entry:
        return str(entry["label"])
    if part not in _METHODS:
        return name.replace("_", " ")
    method = str(entry["method"])
    facts = _METHODS[part].facts(method)
    # The class of a foreign library is the name by which it is known.
    own = method.partition(".")[2] or facts.get("label") or method.replace("_", " ")
    given, defaults = entry.get("parameters", {}), facts.get("parameters", {})
    layer = given.get("layer")
    at = f" at {_words(layer)}" if layer else ""
    others = [*_others(given, defaults), *filter(None, [entry.get("reducer")])]
    if "target" in entry:
        others.append(_TARGETS[entry["target"]])
    text = ", ".join(others)
    if not text:
        return f"{own}{at}"
    return f"{own}{at} ({text})" if len(text) <= LONGEST else f"{own}{at} [{name}]"


def _others(given: Mapping[str, Any], defaults: Mapping[str, Any]) -> Iterator[str]:
    """Parameters but the layer, where they are not the defaults."""
    for key, value in given.items():
        name = key.replace("_", " ").removeprefix("n ")
        if key == "layer" or value == defaults.get(key):
            continue
        if isinstance(value, bool):
            yield name if value else f"no {name}"
        elif isinstance(value, str):
            yield _words(value)
        else:
            yield f"{name} {_words(value)}"


def _words(value: Any) -> str:
    if isinstance(value, list | tuple):
        return " and ".join(map(_words, value))
    if isinstance(value, Mapping):
        return " and ".join(f"{key} {_words(inner)}" for key, inner in value.items())
    return f"{value:g}" if isinstance(value, float) else str(value)
