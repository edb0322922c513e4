"""Configured names as people read them; `sparsight.study.labels` makes the labels.

    label_of(settings, "explainer", "grad_cam_pp_conv2")   # Grad-CAM++ at conv2
    frame = labelled(frame, settings)                      # all columns that hold names

The settings of jobs that draw, or write pages, have `labels`: column of tables (`dataset`, `model`,
`pruner`, `explainer`, `metric`, `concept`, `sample_pruner`) to name to label. Metrics of agreement
are in `metric` too. Select and look up by name first: labels are for what is seen.
"""

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


def label_of(settings: Mapping[str, Any], column: str, name: str) -> str:
    """The label of a name; the name itself where it has none, as `dense` has."""
    return str(settings.get("labels", {}).get(column, {}).get(name, name))


def labels_of(settings: Mapping[str, Any], column: str, names: Iterable[str]) -> list[str]:
    """The labels of names of a column, in their order."""
    return [label_of(settings, column, name) for name in names]


def labelled(frame: "pd.DataFrame", settings: Mapping[str, Any]) -> "pd.DataFrame":
    """A copy of a table in which the names of all columns that have labels are replaced."""
    columns = [column for column in settings.get("labels", {}) if column in frame]
    return frame.assign(
        **{
            column: [label_of(settings, column, name) for name in frame[column]]
            for column in columns
        }
    )


def worded(text: str, settings: Mapping[str, Any]) -> str:
    """A text in which configured names with an underscore are replaced by their labels.

    A name without one may be a word of the text.
    """
    labels = {
        name: label
        for of_column in settings.get("labels", {}).values()
        for name, label in of_column.items()
        if "_" in name
    }
    if not labels:
        return text
    names = sorted(labels, key=len, reverse=True)
    pattern = rf"(?<!\w)({'|'.join(map(re.escape, names))})(?!\w)"
    return re.sub(pattern, lambda match: labels[match[1]], text)
