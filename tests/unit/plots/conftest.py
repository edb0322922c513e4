"""Synthetic tables, and helpers that look into a figure."""

import math
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from matplotlib.text import Text

from sparsight.analysis.equal_accuracy import LOSSES
from sparsight.analysis.tables import TABLES, read
from sparsight.plots.contrasts import STRATA
from tests.tables import write_rows

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
SEEDS = ("1", "2", "3")
R = {"cam": (0.9, 0.8, 0.7), "saliency": (-0.2, 0.1, 0.4), "mean_activation": (0.5, 0.6, 0.7),
     "control_edges": (math.nan,) * 3}  # fmt: skip
PRUNERS = [f"pruner_{letter}_of_weights" for letter in "abcdefghijklmn"]
MEASURES = {
    "found": {
        "accuracy": ("higher", "share, 0 to 1"),
        "error": ("lower", "share, 0 to 1"),
        "size": ("", "concepts"),
        "undefined": ("", "nothing"),
    },
    "compared": {"jaccard": ("", "0 to 1")},
}
STEPS = [0.0, 20.0, 100.0]
STEP_DENSITY = {0: 1.0, 1: 0.5, 2: 0.25, 3: 0.02}


def step_value(level, step, place):
    """Mean of a metric at a step."""
    return 0.9 - 0.1 * step - 0.05 * level * step + 0.01 * place


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
def points_of() -> Callable[..., np.ndarray]:
    """Places [n, 2] of the points of one kind (their `gid`) in a panel."""

    def find(axes, kind):
        found = [marks.get_offsets() for marks in axes.collections if marks.get_gid() == kind]
        return np.concatenate(found) if found else np.empty((0, 2))

    return find


@pytest.fixture
def legend_of() -> Callable[..., list]:
    """What the legend of a page says; the first is how many networks, levels and images."""

    def find(figure):
        (legend,) = figure.legends
        return [legend.get_title().get_text(), *(text.get_text() for text in legend.get_texts())]

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


@pytest.fixture
def contrasts(make_levels, contrasts_of):
    return contrasts_of(make_levels(pruners=("magnitude", "random")))


@pytest.fixture
def strata(make_levels, contrasts_of):
    names = (*STRATA, "hard_minus_easy")
    return pd.concat([contrasts_of(make_levels(), subset=name).assign(place=i)
                      for i, name in enumerate(names)])  # fmt: skip


@pytest.fixture
def correctness(make_levels, contrasts_of):
    rows = contrasts_of(make_levels()).drop(columns="subset").fillna({"difference": 0.02})
    whole = rows[rows["level"] == 1].assign(level="all", difference=0.07, difference_low=0.05,
                                            difference_high=0.09)  # fmt: skip
    means = pd.concat([rows, whole]).assign(seed="mean")
    seeds = [means.assign(seed=seed, difference=means["difference"] + 0.001 * int(seed))
             for seed in SEEDS]  # fmt: skip
    return pd.concat([means, *seeds]).astype({"level": "str"})


@pytest.fixture
def agreement(make_levels):
    rows = []
    keys = ["pruner", "level", "explainer", "density"]
    whole = make_levels()[lambda frame: ~frame["explainer"].str.startswith("control")]
    for (pruner, level, explainer, density), _ in whole.groupby(keys):
        floor = pruner == "retrain"
        place = {"dataset": "digits", "model": "cnn", "condition": "noisy", "metric": "ssim",
                 "subset": "all", "control": "false", "explainer": explainer, "density": density,
                 "low": np.nan, "high": np.nan}  # fmt: skip
        owner = {"pruner": pruner, "level": level, "reference": "dense_parent"}
        if level == 0:
            # Written for every pruner; the table has them once.
            owner = {"pruner": "dense", "level": 0, "reference": "seed_floor"}
        mean = 0.4 if level == 0 else 0.9 if floor else 0.8 - 0.1 * level
        rows += [
            {**place, **owner, "seed": seed, "mean": mean + 0.01 * int(seed)} for seed in SEEDS
        ]
        rows.append({**place, **owner, "seed": "mean", "mean": mean, "low": mean - 0.05,
                     "high": mean + 0.05})  # fmt: skip
    return pd.DataFrame(rows).drop_duplicates(["pruner", "level", "explainer", "seed"])


@pytest.fixture
def make_curves():
    """Rows of `curves.csv`, those of the mean over seeds: `occlusion` lacks the third level."""

    def make(pruners=("magnitude",), conditions=("noisy",), seeds=3, densities=STEP_DENSITY):
        names = ("cam", "mean_activation", "saliency", "occlusion", "control_edges")
        wide = 0.03 if seeds > 1 else np.nan
        rows = [
            {
                **{"dataset": "digits", "model": "cnn", "pruner": pruner, "seed": "mean"},
                **{"level": level, "explainer": explainer, "condition": condition},
                "density": density if pruner != "retrain" else 1.0,
                "control": str(explainer in ("mean_activation", "control_edges")).lower(),
                **{"metric": "road", "step": step, "axis_value": at, "n_seeds": seeds},
                **{"n": 10, "undefined": 0, "mean": step_value(level, step, place)},
                "low": step_value(level, step, place) - wide,
                "high": step_value(level, step, place) + wide,
            }
            for pruner in (*pruners, "retrain")
            for condition in conditions
            for level, density in densities.items()
            if pruner != "retrain" or level < 2
            for place, explainer in enumerate(names)
            if explainer != "occlusion" or level != 3
            for step, at in enumerate(STEPS)
        ]
        return pd.DataFrame(rows)

    return make


def make_rows(explainers=("cam", "mean_activation", "saliency"), pruners=PRUNERS, seeds=5):
    """Rows of means: the first pruner loses .02 at least, and all but two networks .2."""
    rows = [
        {
            **{"dataset": "digits", "model": "cnn", "condition": "noisy", "kind": "agreement"},
            **{"pruner": pruner, "explainer": explainer, "metric": "ssim", "seed": "mean"},
            **{"loss": loss, "of_seeds": seeds, "n_seeds": seeds if loss < 0.2 else seeds - 2},
            "value": 0.9 - 0.1 * place - 2 * loss * (1 + number / 14),
            "retrain_floor": 0.92,
        }
        for place, explainer in enumerate(explainers)
        for number, pruner in enumerate(pruners)
        for loss in LOSSES
    ]
    frame = pd.DataFrame(rows)
    lost = (frame["pruner"] == pruners[0]) & (frame["loss"] < 0.02)
    frame.loc[lost, ["value", "n_seeds"]] = [np.nan, 0]
    for name, wide in (("retrain_floor", 0.02), ("value", 0.03)):
        low, high = ("low", "high") if name == "value" else (f"{name}_low", f"{name}_high")
        frame[low], frame[high] = frame[name] - wide, frame[name] + wide
    return frame


@pytest.fixture
def equal_rows():
    """See `make_rows`."""
    return make_rows


@pytest.fixture
def many_pruners():
    """The pruners of `make_rows`."""
    return PRUNERS


@pytest.fixture
def concepts_settings():
    """What the figure of concepts is given."""
    return {
        **{"dataset": "birds", "model": "cnn", "concept": "pcbm", "pruners": ["magnitude"]},
        **{"retrain": ["retrain"], "confidence": 0.95, "measures": MEASURES},
    }


@pytest.fixture
def concepts_table():
    """Rows of `concepts.csv`: dense, levels 1 to 4 and one retraining of three seeds."""
    rows = []
    places = [("dense", 0), *(("magnitude", level) for level in (1, 2, 3, 4)), ("retrain", 1)]
    for pruner, level in places:
        for kind, measures in MEASURES.items():
            for measure in measures:
                for seed in ("1", "2", "3", "mean"):
                    fall = 0.1 * level if pruner == "magnitude" else 0.0
                    value = 0.9 - fall + (0.01 * int(seed) if seed != "mean" else 0.02)
                    rows.append(
                        {
                            **{"dataset": "birds", "model": "cnn", "pruner": pruner},
                            **{"level": level, "concept": "pcbm", "method": "pcbm"},
                            **{"kind": kind, "measure": measure, "class": "", "seed": seed},
                            **{"concept_label": "", "density": 0.5**level},
                            "value": np.nan if measure == "undefined" else value,
                            "low": value - 0.03 if seed == "mean" else np.nan,
                            "high": value + 0.03 if seed == "mean" else np.nan,
                            # significant from level 3 on
                            "difference_p_adjusted": 0.01 if level > 2 else 0.5,
                            "minus_retrain_floor_p_adjusted": 0.01 if level > 3 else 0.5,
                        }
                    )
    return pd.DataFrame(rows).reindex(columns=TABLES["concepts"].names)


@pytest.fixture
def make_correlations(tmp_path):
    """Rows as `correlations.csv` gives them back."""

    def rows_of(place, values, n_levels):
        known = [value for value in values if not math.isnan(value)]
        mean = float(np.mean(known)) if known else math.nan
        rows = [{**place, "seed": str(i + 1), "pearson": value} for i, value in enumerate(values)]
        several = len(known) > 1
        summary = {**place, "seed": "mean", "pearson": mean, "pearson_seeds": len(known),
                   "pearson_low": mean - 0.3 if several else math.nan,
                   "pearson_high": mean + 0.3 if several else math.nan,
                   "published_form": mean + 0.05,
                   "p_adjusted": 0.01 if place["explainer"] == "cam" else 0.4}  # fmt: skip
        return [{**row, "n_seeds": len(values), "n_levels": n_levels} for row in (*rows, summary)]

    def build(metrics=("soft_iou",), pruners=("magnitude", "retrain"), r=R, n_levels=6):
        rows = []
        for pruner in pruners:
            for metric in metrics:
                for explainer, values in r.items():
                    control = "true" if explainer in CONTROLS else "false"
                    place = {"dataset": "digits", "model": "cnn", "pruner": pruner, "levels": "all",
                             "condition": "noisy", "metric": metric, "subset": "all",
                             "explainer": explainer, "control": control}  # fmt: skip
                    rows += rows_of(place, values, n_levels)
        write_rows("correlations", tmp_path / "correlations.csv", pd.DataFrame(rows))
        return read("correlations", tmp_path / "correlations.csv")

    return build
