"""Captions of the report are templates that render to valid reStructuredText."""

import re
from pathlib import Path
from types import SimpleNamespace

import pytest

jinja2 = pytest.importorskip("jinja2")
docutils_core = pytest.importorskip("docutils.core")

CAPTIONS = Path(__file__).parents[3] / "workflow" / "report"
NAMES = ["accuracy", "correlations", "costs", "heatmaps", "levels", "metric", "workflow"]


def rendered(name, settings=None):
    lists = ("datasets", "models", "pruners", "seeds", "explainers", "metrics")
    snakemake = SimpleNamespace(
        wildcards=SimpleNamespace(dataset="digits_28", model="thesis_cnn", metric="soft_iou"),
        params=SimpleNamespace(settings=settings or {}),
        config={"study": "demo", **{key: [f"{key}_a", f"{key}_b"] for key in lists}},
    )
    # As snakemake.report does it.
    environment = jinja2.Environment(trim_blocks=True, lstrip_blocks=True)
    text = (CAPTIONS / f"{name}.rst").read_text(encoding="utf-8")
    source = environment.from_string(text).render(snakemake=snakemake)
    html = docutils_core.publish_parts(
        source, writer="html", settings_overrides={"halt_level": 2, "report_level": 2}
    )["body"]
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", html))


def test_every_caption_is_tested():
    assert sorted(path.stem for path in CAPTIONS.glob("*.rst")) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_renders_without_a_complaint_even_with_bare_settings(name):
    assert len(rendered(name)) > 200


def test_metric_caption_states_unit_and_direction():
    facts = {"metrics": {"soft_iou": {"unit": "share, 0 to 1", "direction": "higher"}}}
    text = rendered("metric", facts)
    assert "Mean of soft_iou (share, 0 to 1)" in text
    assert "Higher is better." in text
    assert "does not state which direction" in rendered("metric")


def test_captions_are_honest():
    correlations = rendered("correlations", {"density_floor": 0.05})
    assert "published_p is naive and must not be read as a test" in correlations
    assert "density_at_least_0.05" in correlations
    for name in ("correlations", "metric", "workflow", "levels", "heatmaps"):
        assert "never look at the network" in rendered(name)
    assert "Student t interval" in rendered("workflow")
