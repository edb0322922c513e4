"""Facts and the registry."""

import re
import subprocess
import sys

import pytest

from sparsight.io.errors import InputError
from sparsight.metrics.base import Metric
from sparsight.metrics.registry import METRICS


def wrong_facts(name):
    """What a metric's facts say that does not go together; `tests/linters` checks each alone."""
    facts = METRICS.facts(name)
    if not issubclass(METRICS.load(name), Metric):
        yield "is no Metric"
    neither_is_better = facts["category"] == "descriptive"
    if facts["direction"] not in (("",) if neither_is_better else ("higher", "lower")):
        yield f"{facts['category']} and the direction {facts['direction']!r}"
    if (facts["mask_rule"] in ("soft", "binary")) != ("mask" in facts["needs"]):
        yield f"mask rule {facts['mask_rule']} and needs {facts['needs']}"
    if not re.fullmatch(r"[a-z0-9_]+", name):
        yield "a name is written in small letters"
    if bool(facts["reducer"]) != bool(facts["step_axis"]):
        yield f"reducer {facts['reducer']!r} and steps {facts['step_axis']!r}"
    if bool(METRICS.load(name)().step_values()) != bool(facts["step_axis"]):
        yield f"step values without an axis, or the axis {facts['step_axis']!r} without values"


def test_facts_go_together():
    assert [f"{name}: {what}" for name in METRICS.entries for what in wrong_facts(name)] == []


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


def test_metric_refuses_unknown_parameters():
    with pytest.raises(InputError, match=r"soft_iou names the unknown parameter 'threshold' \("):
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
