"""The pages in docs/ are those that the code makes, and say what the registries hold."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sparsight.analysis.tables import TABLES
from sparsight.concepts.registry import CONCEPTS
from sparsight.explain.registry import EXPLAINERS
from sparsight.metrics.registry import AGREEMENT, METRICS
from sparsight.pruning.registry import PUBLISHED_BUGS
from sparsight.registration import Registry
from sparsight.spade.registry import SOLVERS
from sparsight.study.reference_pages import pages, with_tables, write_pages

DOCS = Path(__file__).parents[3] / "docs"
PAGES = pages()


def test_the_pages_are_those_that_the_code_makes() -> None:
    old = [name for name in PAGES if (DOCS / name).read_text(encoding="utf-8") != PAGES[name]]
    assert not old, "out of date in docs/: run `make docs` and commit them"


def test_the_list_of_tables_in_results_is_made_by_the_code() -> None:
    readme = (DOCS.parent / "results" / "README.md").read_text(encoding="utf-8")
    assert with_tables(readme) == readme, "run `make docs` and commit results/README.md"
    assert all(f"[`{table.file}`]" in readme for table in TABLES.values())


def test_the_page_of_tables_has_every_column_with_its_unit() -> None:
    parts = re.split(r"^## ", PAGES["tables.md"], flags=re.MULTILINE)[1:]
    assert [part.partition("\n")[0] for part in parts] == list(TABLES)
    for part, table in zip(parts, TABLES.values(), strict=True):
        assert re.findall(r"^\| `(\w+)`", part, re.MULTILINE) == table.names
    assert (
        "| `accuracy` | number or empty | share, 0 to 1; higher is better |" in PAGES["tables.md"]
    )


def test_every_part_of_a_configuration_is_described_once() -> None:
    titles = re.findall(r"^## (.*)$", PAGES["configuration.md"], re.MULTILINE)
    assert {"A study", "recipe", "pruner"} <= set(titles)
    assert len(set(titles)) == len(titles)


def test_the_index_names_every_page() -> None:
    named = re.findall(r"\]\((\w+\.md)\)", PAGES["README.md"])
    there = [path.name for path in DOCS.glob("*.md")]
    assert sorted([*named, "README.md"]) == sorted(there)
    assert set(PAGES) <= set(there)


def test_the_page_of_metrics_lists_treatments_and_where_the_paper_differs() -> None:
    words = {
        "signed": "as they are",
        "absolute": "absolute values",
        "positive": "negative values count as 0",
    }
    rows = re.findall(r"^\| \[`(\w+)`\].* \| ([^|]+) \|$", PAGES["metrics.md"], re.MULTILINE)
    facts = {**dict(_facts_of(METRICS)), **dict(_facts_of(AGREEMENT))}
    assert dict(rows) == {
        name: words[of["treatment"]] + (r" \*" if of["paper_treatment"] else "")
        for name, of in facts.items()
    }
    assert dict(rows)["pixel_roc_auc"] == "absolute values"
    assert dict(rows)["random_logit"] == r"as they are \*"
    for of in facts.values():
        assert of["paper_treatment"] in PAGES["metrics.md"]


def _facts_of(registry: Registry) -> Iterator[tuple[str, dict[str, Any]]]:
    return ((name, registry.facts(name)) for name in registry.entries)


def test_writing(tmp_path: Path) -> None:
    write_pages(tmp_path / "docs")
    written = {
        path.name: path.read_text(encoding="utf-8") for path in (tmp_path / "docs").iterdir()
    }
    assert written == PAGES


@pytest.mark.parametrize(
    ("page", "names"),
    [
        ("explainers.md", EXPLAINERS.entries),
        ("metrics.md", [*METRICS.entries, *AGREEMENT.entries]),
        ("concepts.md", CONCEPTS.entries),
        ("published_bugs.md", PUBLISHED_BUGS),
        ("sample_pruning.md", SOLVERS.entries),
    ],
)
def test_everything_registered_has_one_section_with_a_description(
    page: str, names: list[str]
) -> None:
    found = dict(re.findall(r"^##+ ([a-z_0-9]+)\n\n(\S.*)$", PAGES[page], re.MULTILINE))
    assert sorted(found) == sorted(names)
    assert all(text[0] not in "|#" for text in found.values())


def test_an_explainer_on_the_page() -> None:
    section = PAGES["explainers.md"].partition("### occlusion\n")[2].partition("\n### ")[0]
    assert section.startswith("\nMean loss of the target logit over the square windows that cover")
    for row in (
        "Zeiler and Fergus 2014, [arXiv:1311.2901](https://arxiv.org/abs/1311.2901) |",
        "| cost | depends on the image: 170 forward passes per image of 28x28 pixels |",
        "| signed | yes |",
        "| channels | none |",
        "| resolution | the image's |",
        "| parameters | `window`: `4`<br>`stride`: `2`<br>`baseline`: `0.0` |",
    ):
        assert row in section
    assert "\n\nWindows of `window` x `window` pixels start every" in section
    assert "| [`occlusion`](#occlusion) | 170 at 28x28 | yes | pixel |  |" in PAGES["explainers.md"]
    assert "| [`edges`](#edges) | 0 | no | pixel | control |" in PAGES["explainers.md"]


def test_a_metric_on_the_page() -> None:
    section = PAGES["metrics.md"].partition("### soft_iou\n")[2].partition("\n### ")[0]
    for row in (
        "| direction | higher is better |",
        "| unit | share, 0 to 1 |",
        "| needs | mask |",
        "| treatment of maps | negative values count as 0 |",
        "| normalisation | min-max per image, to 0 to 1 |",
        "| mask | soft, 0 to 1 |",
    ):
        assert row in section
    assert (
        "| `quantus.IROF` | faithfulness | higher is better | model, images of one channel |"
        in PAGES["metrics.md"]
    )


def test_a_solver_on_the_page() -> None:
    whole = PAGES["sample_pruning.md"]
    section = whole.partition("### obs_exact\n")[2].partition("\n### ")[0]
    assert section.startswith("\nOBC: greedy removal in every row")
    assert "| needs | the layer's inputs |" in section
    assert "`rows`: `32`" in section
    assert "| [`random`](#random) | nothing of the image: a control | any number |" in whole


@pytest.mark.parametrize("name", PAGES)
def test_links_within_the_pages_lead_somewhere(name: str) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", PAGES[name]):
        if target.startswith("#"):
            assert re.search(rf"^##+ {target[1:]}$", PAGES[name], re.MULTILINE), target
        elif not target.startswith("https://"):
            assert (DOCS / target.partition("#")[0]).is_file(), target


def test_the_cost_of_library_classes_is_on_the_page() -> None:
    found = PAGES["explainers.md"].partition("## Of other libraries")[2]
    for name, cost in (("ScoreCAM", "513"), ("ShapleyValueSampling", "19,601")):
        assert f"`{name}` ({cost})" in found
