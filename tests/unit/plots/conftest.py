"""Synthetic tables, and helpers that look into a figure."""

from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from matplotlib.text import Text

PLACE = {"dataset": "digits", "model": "cnn", "condition": "noisy"}
# `cam` is explained at every level, `occlusion` at few; both controls look at no network, but
# `mean_activation` does.
FAMILIES = {
    "cam": ["cam", "mean_activation"],
    "gradient": ["saliency"],
    "perturbation": ["occlusion"],
    "controls": ["control_edges", "control_input"],
}
CONTROLS = ["mean_activation", "control_edges", "control_input"]
FEW = (0, 3, 5)


@pytest.fixture
def settings():
    """What every figure with explainers is given."""
    return {
        "dataset": "digits",
        "model": "cnn",
        "metric": "soft_iou",
        "metrics": {"soft_iou": {"unit": "share, 0 to 1", "direction": "higher"}},
        "pruners": ["magnitude"],
        "retrain": ["retrain"],
        "controls": CONTROLS,
        "families": FAMILIES,
        "confidence": 0.95,
    }


def means(seed, level, levels):
    """Mean of each explainer."""
    return {
        "cam": 0.2 - 0.1 * (level / levels) ** 1.5 / seed,
        "mean_activation": 0.18 - 0.02 * seed * level / levels,
        "saliency": 0.1 + 0.03 * seed * level / levels,
        "occlusion": 0.14 - 0.01 * seed * level / levels,
        "control_edges": 0.15,
        "control_input": 0.99,
    }


@pytest.fixture
def make_levels() -> Callable[..., pd.DataFrame]:
    """Rows of `levels.csv`, with one retrained dense network for each seed."""

    def row(place, explainer, mean, levels):
        return {
            **PLACE,
            **place,
            "explainer": explainer,
            "metric": "soft_iou",
            "subset": "all",
            "checkpoint_pruner": place["pruner"] if place["level"] else "dense",
            "accuracy": 0.9 - 0.1 * place["level"] / levels - 0.001 * place["seed"],
            "n": 10,
            "undefined": 0,
            "mean": mean,
            "sd": 0.1,
            "median": mean,
        }

    def make(seeds=(1, 2, 3), levels=6, pruners=("magnitude",), conditions=("noisy",)):
        rows = []
        for pruner in (*pruners, "retrain"):
            for condition in conditions:
                for seed in seeds:
                    for level in range(levels if pruner != "retrain" else 2):
                        place = {"pruner": pruner, "seed": seed, "level": level,
                                 "condition": condition,
                                 "density": 0.8**level if pruner != "retrain" else 1.0}  # fmt: skip
                        found = means(seed, level if pruner != "retrain" else level / 9, levels)
                        for explainer, mean in found.items():
                            if explainer == "occlusion" and level not in FEW:
                                continue
                            rows.append(row(place, explainer, mean, levels))
        return pd.DataFrame(rows)

    return make


@pytest.fixture
def contrasts_of() -> Callable[..., pd.DataFrame]:
    """Rows of `contrasts.csv` for rows of `levels.csv`; intervals have a width of 0.02."""

    def spread(name, value, several):
        wide = 0.01 if several else np.nan
        return {
            name: value,
            f"{name}_low": value - wide,
            f"{name}_high": value + wide,
            f"{name}_images_low": value - 0.002,
            f"{name}_images_high": value + 0.002,
        }

    def make(levels, subset="all"):
        keys = ["dataset", "model", "pruner", "explainer", "condition", "metric"]
        rows = []
        for names, curve in levels.groupby(keys):
            dense = curve.loc[curve["level"] == 0, "mean"].mean()
            for level, found in curve.groupby("level"):
                mean, several = found["mean"].mean(), found["seed"].nunique() > 1
                rows.append(
                    {
                        **dict(zip(keys, names, strict=True)),
                        "level": level,
                        "control": "true" if names[3] in CONTROLS else "false",
                        "subset": subset,
                        "density": found["density"].mean(),
                        "n_seeds": found["mean"].notna().sum(),
                        **spread("mean", mean, several),
                        **spread("difference", mean - dense if level else np.nan, several),
                        "p": 0.01,
                        # Every second level differs from dense.
                        "p_adjusted": np.nan if level == 0 else (0.01 if level % 2 else 0.5),
                    }
                )
        return pd.DataFrame(rows)

    return make


@pytest.fixture
def lines_of() -> Callable[..., list]:
    """The lines of one kind (their `gid`) in a panel."""

    def find(axes, kind):
        return [line for line in axes.lines if line.get_gid() == kind]

    return find


@pytest.fixture
def marks_of() -> Callable[..., list]:
    """The bars, ribbons and bands of one kind (their `gid`) in a panel."""

    def find(axes, kind):
        return [mark for mark in (*axes.collections, *axes.patches) if mark.get_gid() == kind]

    return find


@pytest.fixture
def panel_of() -> Callable[..., object]:
    """The panel whose title begins with a text."""

    def find(figure, text):
        return next(axes for axes in figure.axes if axes.get_title("left").startswith(text))

    return find


@pytest.fixture
def check_file() -> Callable[[Path], None]:
    """Fail unless a figure file is one: an svg that parses and draws, or a png of some size."""

    def check(path: Path) -> None:
        if path.suffix == ".svg":
            root = ElementTree.parse(path).getroot()
            assert root.tag.endswith("svg")
            assert len(root.findall(".//{http://www.w3.org/2000/svg}path")) > 10
            assert "<dc:date>" not in path.read_text()
        else:
            assert path.read_bytes().startswith(b"\x89PNG")
            assert path.stat().st_size > 5000

    return check


@pytest.fixture
def check_draw(tmp_path, check_file) -> Callable[..., None]:
    """Fail unless a call writes equal and whole files when it is made twice."""

    def check(draw: Callable[[list[Path]], None]) -> None:
        svg, png = tmp_path / "figure.svg", tmp_path / "figure.png"
        draw([svg])
        before = svg.read_bytes()
        draw([svg, png])
        assert svg.read_bytes() == before
        check_file(svg)
        check_file(png)

    return check


@pytest.fixture
def overlaps() -> Callable[..., list]:
    """Pairs of texts (non-empty, of a figure that was laid out) that cover each other."""

    def find(texts):
        boxes = [(t.get_text(), Text.get_window_extent(t)) for t in texts if t.get_text()]
        return [
            (one, other)
            for i, (one, box) in enumerate(boxes)
            for other, second in boxes[:i]
            if box.overlaps(second)
        ]

    return find
