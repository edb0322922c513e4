"""Facts, parameters and the registry."""

import re
import subprocess
import sys

import pytest

from sparsight.io.errors import InputError
from sparsight.metrics.base import Metric
from sparsight.metrics.registry import METRICS
from sparsight.parameters import checked_parameters

FACTS = ("name", "reference", "category", "direction", "unit", "needs")
RULES = ("treatment", "normalisation", "mask_rule", "parameters")


@pytest.mark.parametrize("name", sorted(METRICS.entries))
def test_facts_are_literals_and_whole(name):
    facts = METRICS.facts(name)
    loaded = METRICS.load(name)
    assert issubclass(loaded, Metric)
    assert set(FACTS + RULES) <= set(facts)
    assert all(facts[key] == getattr(loaded, key) for key in FACTS + RULES)
    assert facts["name"] == name
    neither_is_better = facts["category"] == "descriptive"
    assert facts["direction"] in (("",) if neither_is_better else ("higher", "lower"))
    assert facts["treatment"] in ("signed", "absolute", "positive")
    assert facts["normalisation"] in ("none", "min_max")
    assert (facts["mask_rule"] in ("soft", "binary")) == ("mask" in facts["needs"])
    assert re.fullmatch(r"[a-z0-9_]+", name)


@pytest.mark.parametrize("name", sorted(METRICS.entries))
def test_a_curve_says_what_its_steps_are(name):
    facts = METRICS.facts(name)
    assert bool(facts["reducer"]) == bool(facts["step_axis"])
    assert bool(METRICS.load(name)().step_values()) == bool(facts["step_axis"])


@pytest.mark.parametrize(
    ("name", "parameters", "expected"),
    [
        ("road_lerf", {"percentages": [1, 12.5, 90]}, [0, 1, 12.5, 90]),
        ("insertion", {"steps": 4}, [0, 25, 50, 75, 100]),
        ("pixel_flipping", {"steps": 1}, [0, 100]),
        # The unperturbed network is no step of it.
        ("smooth_mprt", {"layers": 3}, [1, 2, 3]),
        ("soft_iou", {}, []),
    ],
)
def test_where_steps_stand_on_their_axis(name, parameters, expected):
    values = METRICS.load(name)(**parameters).step_values()
    assert values == expected
    assert all(isinstance(value, float) for value in values)


def test_parameters_are_checked():
    defaults = {"steps": 10, "share": 0.5, "layer": "required", "fine": True, "any": None}
    settings = checked_parameters("metric x", defaults, {"layer": "conv", "share": 1, "any": [1]})
    assert settings == {"steps": 10, "share": 1, "layer": "conv", "fine": True, "any": [1]}
    for given, message in (
        ({}, "metric x needs the parameter 'layer'"),
        ({"layer": "a", "step": 1}, "no parameter 'step'.*did you mean 'steps'"),
        ({"layer": "a", "steps": 1.5}, "'steps' is 1.5.*int"),
        ({"layer": "a", "steps": True}, "'steps' is True.*int"),
        ({"layer": "a", "share": "half"}, "'share' is 'half'.*float"),
        ({"layer": "a", "fine": 1}, "'fine' is 1.*bool"),
    ):
        with pytest.raises(InputError, match=message):
            checked_parameters("metric x", defaults, given)
    assert defaults["steps"] == 10


def test_metric_refuses_unknown_parameters():
    with pytest.raises(InputError, match=r"soft_iou has no parameter 'threshold' \(known: none\)"):
        METRICS.load("soft_iou")(threshold=0.5)


def test_scoring_imports_neither_quantus_nor_pandas():
    code = (
        "import sys, sparsight.metrics.run, sparsight.metrics.quantus_adapter, "
        "sparsight.metrics.localisation, sparsight.metrics.complexity\n"
        "print([name for name in ('quantus', 'pandas', 'captum', 'sklearn', 'torchvision', "
        "'pytorch_grad_cam', 'matplotlib') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
