"""Captions of the report are templates that render to valid reStructuredText."""

import re
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest

jinja2 = pytest.importorskip("jinja2")
docutils_core = pytest.importorskip("docutils.core")
docutils_utils = pytest.importorskip("docutils.utils")

from sparsight.analysis.tables import TABLES  # noqa: E402
from sparsight.plots.pages import write_guide  # noqa: E402
from sparsight.study.report_pages import FIGURES, TABLE_CAPTIONS  # noqa: E402

CAPTIONS = Path(__file__).parents[3] / "workflow" / "report"
NAMES = sorted(path.stem for path in CAPTIONS.glob("*.rst"))
RULES = CAPTIONS.parent / "rules"


@dataclass(frozen=True, order=True)
class Category:
    """As snakemake.report has them: named and sorted by name."""

    name: str


def rendered(name, settings=None, links="", concepts=(), **given):
    lists = ("datasets", "models", "pruners", "seeds", "explainers", "metrics")
    snakemake = SimpleNamespace(
        wildcards=SimpleNamespace(
            dataset="digits_28",
            model="thesis_cnn",
            metric="soft_iou",
            concept="pcbm",
            pruner="magnitude",
        ),
        params=SimpleNamespace(settings=settings or {}),
        config={
            **{"study": "demo", "concepts": list(concepts)},
            **{key: [f"{key}_a", f"{key}_b"] for key in lists},
        },
    )
    # As snakemake.report does it.
    environment = jinja2.Environment(trim_blocks=True, lstrip_blocks=True)
    text = (CAPTIONS / f"{name}.rst").read_text(encoding="utf-8") + links
    source = environment.from_string(text).render(snakemake=snakemake, **given)
    html = docutils_core.publish_parts(
        source, writer="html", settings_overrides={"halt_level": 2, "report_level": 2}
    )["body"]
    return re.sub(r"\s+", " ", re.sub(r"<(?!a )[^>]+>", "", html))


def test_captions_render_without_a_complaint_even_with_bare_settings():
    found = []
    for name in NAMES:
        try:
            length = len(rendered(name))
        except (jinja2.TemplateError, docutils_utils.SystemMessage) as error:
            found.append(f"{name}.rst: {error}")
        else:
            found += [f"{name}.rst: {length} characters"] if length <= 80 else []
    assert not found, "\n".join(found)


def test_captions_are_those_that_rules_name():
    named = {
        Path(found).stem
        for path in RULES.glob("*.smk")
        for found in re.findall(r'caption="([^"]+)"', path.read_text(encoding="utf-8"))
    }
    # those of figures and tables stand in their pages; the first page is named by the Snakefile
    shown = {kind.caption for kind in FIGURES.values()} | {TABLE_CAPTIONS.get(n, n) for n in TABLES}
    assert named <= set(NAMES)
    assert set(NAMES) - named - shown == {"workflow"}
    unknown = {kind.caption for kind in FIGURES.values()} - set(NAMES)
    assert unknown == set()


def test_metric_caption_states_unit_and_direction():
    facts = {"metrics": {"soft_iou": {"unit": "share, 0 to 1", "direction": "higher"}}}
    text = rendered("metric", facts)
    assert "Mean of soft_iou (share, 0 to 1)" in text
    assert "Higher is better." in text
    assert "does not state which direction" in rendered("metric")


@pytest.mark.parametrize("name", ["metric", "accuracy"])
def test_retrained_networks_are_explained_where_they_are_drawn(name):
    assert "networks that were retrained" in rendered(name, {"retrain": ["retrain"]})
    assert "networks that were retrained" not in rendered(name)


def test_captions_are_honest():
    assert "published_p is naive and must not be read as a test" in rendered("correlations")
    for name in (
        "correlations",
        "metric",
        "heatmaps",
        "contrasts_figure",
        "curves_figure",
    ):
        assert "never look at the network" in rendered(name)
    for name in ("contrasts_figure", "correctness_figure"):
        assert "for these networks" in rendered(name)
    assert "The unit is the trained network" in rendered("workflow")
    assert "at an adjusted p below 0.1" in rendered("contrasts_figure", {"confidence": 0.9})


def test_captions_of_concepts_name_the_method_and_the_floor():
    text = rendered("concepts_figure", {"confidence": 0.9})
    assert "What pcbm measures in thesis_cnn on digits_28" in text
    assert "an adjusted p below 0.1" in text
    assert "only retrained (retrain)" in rendered("concepts", {"retrain": ["retrain"]})
    assert "pruned by magnitude" in rendered("concept_sheet")


def test_the_guide_says_what_was_studied_and_how_to_read_it(tmp_path):
    page, studied = tmp_path / "guide.html", {"Explainers": ["saliency", "lime"], "Concepts": []}
    write_guide(page, {"study": "a<b", "confidence": 0.9, "studied": studied})
    text = page.read_text(encoding="utf-8")
    for said in ("never look at the network", "for these networks", "Student t interval", "90%"):
        assert said in text
    assert "saliency, lime" in text
    assert "Concepts" not in text
    assert "a&lt;b" in text
    write_guide(page, {"study": "s", "confidence": 0.9, "studied": {"Concepts": ["cav", "pcbm"]}})
    assert "cav, pcbm" in page.read_text(encoding="utf-8")


def test_caption_of_curves_says_how_they_become_a_number():
    facts = {"unit": "probability", "step_axis": "pixels removed, %", "direction": "lower"}
    text = rendered("curves_figure", {"metrics": {"soft_iou": {**facts, "reducer": "area"}}})
    assert "steps (pixels removed, %)" in text
    assert "one number (area of its steps), of which lower is better." in text
    assert "one number" not in rendered("curves_figure")
    assert "(deletion, road)" in rendered("curves", {"metrics": ["deletion", "road"]})


def test_first_page_links_to_what_there_is():
    assert "<a" not in rendered("workflow")
    names = ("1 Claims", "0 Answer", "2 Accuracy")
    links = "\n\n" + "".join(f".. _{name}: javascript:{name[0]}\n" for name in names)
    text = rendered(
        "workflow",
        links=links,
        categories={Category(name): [] for name in names},
    )
    linked = re.findall(r'<a [^>]*href="javascript:([^"]+)"[^>]*>', text)
    assert linked == ["0", "1"]
