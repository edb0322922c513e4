"""Figures and pages of concepts: what is drawn where, what is marked, and what does not overlap."""

import re

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch

from sparsight.analysis.tables import TABLES
from sparsight.concepts.base import RANKING_SCHEMA
from sparsight.io.arrays import write_arrays
from sparsight.io.errors import InputError
from sparsight.io.tables import write_table
from sparsight.plots.concept_sheet import draw_concept_sheet, load_concepts, sheet_figure
from sparsight.plots.concepts import concepts_pages, draw_concepts
from sparsight.plots.pages import write_concept_tables
from tests.tables import write_rows


@pytest.fixture
def settings(concepts_settings):
    return concepts_settings


@pytest.fixture
def table(concepts_table):
    return concepts_table


def test_every_measure_with_values_has_a_panel(table, settings):
    (figure,) = concepts_pages(table, settings)
    titles = [axes.get_title("left") for axes in figure.axes]
    assert titles == [
        *("accuracy ↑\n(share, 0 to 1)", "error ↓\n(share, 0 to 1)", "size\n(concepts)"),
        "jaccard with dense\n(0 to 1)",
    ]


def test_curves_begin_with_dense_and_comparisons_do_not(table, settings, panel_of, lines_of):
    (figure,) = concepts_pages(table, settings)
    (mean,) = lines_of(panel_of(figure, "accuracy"), "mean")
    assert list(mean.get_xdata()) == [0, 1, 2, 3, 4]
    assert list(mean.get_ydata()) == pytest.approx([0.92, 0.82, 0.72, 0.62, 0.52])
    assert len(lines_of(panel_of(figure, "accuracy"), "seed")) == 3
    (mean,) = lines_of(panel_of(figure, "jaccard"), "mean")
    assert list(mean.get_xdata()) == [1, 2, 3, 4]


def test_what_differs_is_filled(table, settings, panel_of, points_of):
    (figure,) = concepts_pages(table, settings)
    for title, filled in (("accuracy", [3, 4]), ("jaccard", [4])):
        assert points_of(panel_of(figure, title), "filled")[:, 0].tolist() == filled


def test_a_chance_level_is_a_line_in_the_panel_of_its_measure(table, settings, panel_of, lines_of):
    (figure,) = concepts_pages(table, {**settings, "chance": {"accuracy": "error"}})
    titles = [axes.get_title("left").split("\n")[0] for axes in figure.axes]
    assert titles == ["accuracy ↑", "size", "jaccard with dense"]
    (line,) = lines_of(panel_of(figure, "accuracy"), "chance")
    assert list(line.get_xdata()) == [0, 1, 2, 3, 4]
    assert list(line.get_ydata()) == pytest.approx([0.92, 0.82, 0.72, 0.62, 0.52])
    assert lines_of(panel_of(figure, "size"), "chance") == []
    texts = [text.get_text() for legend in figure.legends for text in legend.get_texts()]
    assert "by chance" in texts
    # a level of chance without its measure has a panel of its own
    (alone,) = concepts_pages(
        table[table["measure"] != "accuracy"], {**settings, "chance": {"accuracy": "error"}}
    )
    assert alone.axes[0].get_title("left").startswith("error ↓")


def test_floors_are_drawn_where_they_belong(table, settings, panel_of, lines_of):
    (figure,) = concepts_pages(table, settings)
    # the retrained networks beside all; other seeds beside comparisons
    assert len(lines_of(panel_of(figure, "accuracy"), "retrain floor")) == 1
    assert lines_of(panel_of(figure, "accuracy"), "seed floor") == []
    floors = [lines_of(panel_of(figure, "jaccard"), f"{kind} floor")[0]
              for kind in ("retrain", "seed")]  # fmt: skip
    assert [line.get_ydata()[0] for line in floors] == pytest.approx([0.92, 0.92])
    (without,) = concepts_pages(table[table["pruner"] != "retrain"], settings)
    assert lines_of(panel_of(without, "accuracy"), "retrain floor") == []


def test_panels_of_one_measure_share_their_axis_over_pruners(table, settings):
    other = table[table["pruner"] == "magnitude"].assign(
        pruner="random", value=table["value"] - 0.3
    )
    both = pd.concat([table, other])
    (figure,) = concepts_pages(both, {**settings, "pruners": ["magnitude", "random"]})
    first, second = (figure.axes[i] for i in (0, 4))
    assert first.get_title("left") == second.get_title("left")
    assert first.get_ylim() == second.get_ylim()


def test_the_figure_is_written_twice_alike(table, settings, tmp_path, check_draw):
    path = tmp_path / "concepts.csv"
    write_rows("concepts", path, table)
    check_draw(lambda outputs: draw_concepts(path, outputs, settings))
    with pytest.raises(InputError, match="no rows left with concept 'cav'"):
        draw_concepts(path, [], {**settings, "concept": "cav"})


def test_without_values_there_is_a_sentence(table, settings):
    with pytest.raises(InputError, match="pcbm has no measure with a value"):
        concepts_pages(table.assign(value=np.nan), settings)


# --- the page of tables

ORDERS = {
    ("dense", 0): ["wing", "beak <hooked>", "tail"],
    ("magnitude", 1): ["tail", "crest", "wing"],
    ("magnitude", 2): ["crest"],
    ("retrain", 1): ["wing", "beak <hooked>", "tail"],
}


@pytest.fixture
def page(tmp_path):
    """Function from orders and rows of notes to the page's text."""

    def write(orders, notes=()):
        rows = []
        for (pruner, level), names in orders.items():
            for seed in (1, 2):
                row = {
                    **{"dataset": "birds", "model": "cnn", "concept": "pcbm", "method": "pcbm"},
                    **{"pruner": pruner, "seed": seed, "class": "gull", "level": level},
                    "density": 0.5**level,
                }
                for place, name in enumerate(names, start=1):
                    row |= {f"top_{place}": name, f"weight_{place}": 1 / place}
                rows.append(row)
        path, html = tmp_path / "tables.csv", tmp_path / "tables.html"
        write_rows("concept_tables", path, pd.DataFrame(rows))
        said = tmp_path / "notes.csv"
        write_rows(
            "concept_notes", said, pd.DataFrame(list(notes), columns=TABLES["concept_notes"].names)
        )
        write_concept_tables(path, said, html, {"study": "demo", "retrain": ["retrain"]})
        return html.read_text(encoding="utf-8")

    return write


def test_concepts_that_dense_lacks_are_marked(page):
    text = page(ORDERS)
    cells = re.findall(r"<td>(.*?)</td>", text)
    # of the first seed: dense and two levels
    assert "+" not in cells[0]
    assert "beak &lt;hooked&gt; <small>0.5</small>" in cells[0]
    assert re.findall(r"\+ (\w+)</span>", cells[1]) == ["crest"]
    assert cells[2] == ('<ol><li><span class="new">+ crest</span> <small>1</small></li></ol>')


def test_there_is_one_table_for_each_pruner_and_seed_and_the_first_is_open(page):
    text = page(ORDERS)
    heads = re.findall(r"<details( open)?><summary>(.*?)</summary>", text)
    assert heads == [
        (" open", "magnitude, seed 1"),
        ("", "magnitude, seed 2"),
        ("", "retrain, seed 1"),
        ("", "retrain, seed 2"),
    ]
    assert text.count("<table>") == text.count("</table>") == 4
    assert "<h2>pcbm: cnn on birds</h2>" in text
    assert "level 2<br><small>25% left</small>" in text
    assert "<script" not in text


def test_a_level_without_an_order_is_a_dash_and_no_orders_are_a_sentence(page):
    text = page({("dense", 0): ["wing"], ("magnitude", 1): []})
    assert re.findall(r"<td>(.*?)</td>", text)[1] == "–"
    assert "No method orders concepts." in page({})


def test_what_methods_note_stands_above_their_tables(page):
    notes = [
        ("birds", "cnn", "craft", "craft", "no images of <tern>", 2, 36),
        ("birds", "cnn", "pcbm", "pcbm", "1 concepts were dropped: eye", 36, 36),
    ]
    text = page(ORDERS, notes)
    assert "no images of &lt;tern&gt; <small>(2 of 36 networks)</small>" in text
    heads = re.findall("<h2>(.*?)</h2>", text)
    # a method without an order has its notes all the same
    assert heads == ["craft: cnn on birds", "pcbm: cnn on birds"]
    note, table = text.index("dropped: eye <small>(36 of 36 networks)"), text.index("<table>")
    assert text.index("pcbm: cnn on birds") < note < table
    assert page(ORDERS).count("<ul>") == 0
    assert "No method orders concepts." in page({}, notes[:1])


# --- the sheet


@pytest.fixture
def network(tmp_path):
    """Function from a name to the files of a network's concepts: two classes of three concepts."""

    def write(name, pruner, level, classes=("gull", "tern")):
        generator = torch.Generator().manual_seed(level)
        rows = [
            ("craft", label, f"concept_{(2 * k) % 3:02d}", k + 1, 0.5 / (k + 1), 0.1)
            for label in classes
            for k in range(3)
        ]
        columns = dict(zip(RANKING_SCHEMA.names, map(list, zip(*rows, strict=True)), strict=True))
        identity = {
            **{"study": "demo", "dataset": "birds", "model": "cnn", "pruner": pruner},
            **{"seed": "1", "level": f"{level:02d}", "density": str(0.5**level)},
            **{"concept": "craft", "method": "craft"},
        }
        shape = (len(classes), 3, 4, 3, 6, 6)
        crops = torch.randint(1, 256, shape, generator=generator, dtype=torch.uint8)
        crops[1, 2, 3] = 0  # this concept has fewer crops
        arrays = {
            "top_crops": crops,
            "pictures": crops[:, 0, :2].clone(),
            "heat_maps": torch.rand(len(classes), 3, 2, 4, 4, generator=generator),
            "basis": torch.rand(len(classes), 3, 5, generator=generator),
        }
        table, path = tmp_path / f"{name}.parquet", tmp_path / f"{name}.safetensors"
        write_table(table, pa.table(columns, schema=RANKING_SCHEMA), identity)
        write_arrays(path, arrays)
        return table, path

    return write


SHEET = {"dataset": "birds", "model": "cnn", "concept": "craft"}


def test_what_a_sheet_reads(network):
    found = load_concepts(*network("dense", "dense", 0))
    assert (found.pruner, found.level, found.density) == ("dense", 0, 1)
    assert found.names["gull"] == [
        ("concept_00", 0.5),
        ("concept_02", 0.25),
        ("concept_01", pytest.approx(0.5 / 3)),
    ]
    assert found.crops["tern"].shape == (3, 4, 6, 6, 3)
    assert found.heat["tern"].shape == (3, 4, 4)
    assert found.picture["gull"].shape == (6, 6, 3)
    found = load_concepts(*network("pruned", "magnitude", 3))
    assert (found.pruner, found.level, found.density) == ("magnitude", 3, 0.125)


def test_a_sheet_shows_both_networks(network):
    dense = load_concepts(*network("dense", "dense", 0))
    pruned = load_concepts(*network("pruned", "magnitude", 3))
    (axes,) = sheet_figure(dense, pruned, SHEET).axes
    kinds = [image.get_gid() for image in axes.images]
    # two networks, two classes, three concepts, four crops; one is missing in each network
    assert kinds.count("crop") == 2 * (2 * 3 * 4 - 1)
    assert kinds.count("heat") == kinds.count("image") == 2 * 2 * 3
    texts = [text.get_text() for text in axes.texts]
    assert texts.count("–") == 2
    assert texts.count("gull") == texts.count("tern") == 1
    assert texts.count("1.  0.5") == 4
    assert {"dense, 100% of weights left", "magnitude, level 3, 12% of weights left"} <= {*texts}
    labels = {"pruner": {"magnitude": "smallest"}, "model": {"cnn": "CNN"}, "concept": {}}
    texts = [
        t.get_text() for t in sheet_figure(dense, pruned, SHEET | {"labels": labels}).axes[0].texts
    ]
    assert "smallest, level 3, 12% of weights left" in texts
    assert "CNN on birds, concepts by craft" in texts


def test_texts_of_a_sheet_do_not_overlap(network, overlaps):
    dense = load_concepts(*network("dense", "dense", 0))
    pruned = load_concepts(*network("pruned", "magnitude", 3))
    figure = sheet_figure(dense, pruned, SHEET)
    figure.draw_without_rendering()
    assert overlaps(figure.axes[0].texts) == []


def test_a_sheet_shows_the_classes_of_both(network):
    dense = load_concepts(*network("dense", "dense", 0))
    pruned = load_concepts(*network("pruned", "magnitude", 3, classes=("tern", "auk")))
    texts = [text.get_text() for text in sheet_figure(dense, pruned, SHEET).axes[0].texts]
    assert "tern" in texts
    assert not {"gull", "auk"} & set(texts)
    other = load_concepts(*network("other", "magnitude", 3, classes=("auk", "skua")))
    with pytest.raises(InputError, match="no class of birds has concepts in both networks"):
        sheet_figure(dense, other, SHEET)


def test_a_sheet_is_written_twice_alike(network, check_draw):
    sides = network("dense", "dense", 0), network("pruned", "magnitude", 3)
    check_draw(lambda outputs: draw_concept_sheet(*sides, outputs, SHEET))
