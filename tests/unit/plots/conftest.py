"""Synthetic curves, and helpers that look into a figure."""

from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pandas as pd
import pytest

CONTROLS = ["control_edges", "control_input"]


@pytest.fixture
def make_levels() -> Callable[..., pd.DataFrame]:
    """Rows of `levels.csv`: explainers `cam` and `saliency` vary, the controls do not."""

    def make(seeds=(1, 2, 3), levels=6, pruners=("magnitude",), conditions=("noisy",)):
        rows = []
        for pruner in pruners:
            for condition in conditions:
                for seed in seeds:
                    for level in range(levels):
                        means = {
                            "cam": 0.2 - 0.1 * (level / levels) ** 1.5 / seed,
                            "saliency": 0.1 + 0.03 * seed * level / levels,
                            "control_edges": 0.15,
                            "control_input": 0.99,
                        }
                        rows += [
                            {
                                "dataset": "digits",
                                "model": "cnn",
                                "pruner": pruner,
                                "seed": seed,
                                "level": level,
                                "explainer": explainer,
                                "condition": condition,
                                "metric": "soft_iou",
                                "subset": "all",
                                "checkpoint_pruner": pruner if level else "dense",
                                "density": 0.8**level,
                                "accuracy": 0.9 - 0.1 * level / levels - 0.001 * seed * level**2,
                                "n": 10,
                                "undefined": 0,
                                "mean": mean,
                                "sd": 0.1,
                                "median": mean,
                            }
                            for explainer, mean in means.items()
                        ]
        return pd.DataFrame(rows)

    return make


@pytest.fixture
def lines_of() -> Callable[..., list]:
    """The lines of one kind (their `gid`) in a panel."""

    def find(axes, kind):
        return [line for line in axes.lines if line.get_gid() == kind]

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
