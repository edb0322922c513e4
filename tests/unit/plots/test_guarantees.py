"""What every figure keeps to: its size, its text, full rows, and what it says of its numbers."""

import itertools
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.collections import LineCollection
from matplotlib.text import Text

from sparsight import plots
from sparsight.io.arrays import write_arrays
from sparsight.plots.accuracy import accuracy_pages
from sparsight.plots.agreement import agreement_pages
from sparsight.plots.checkpoints import checkpoints_pages
from sparsight.plots.claims import claims_pages
from sparsight.plots.concept_sheet import Concepts, sheet_figure
from sparsight.plots.concepts import concepts_pages
from sparsight.plots.contrasts import STRATA, contrasts_pages, correctness_pages, strata_pages
from sparsight.plots.correlations import correlation_table_pages, correlations_pages
from sparsight.plots.equal_accuracy import equal_accuracy_pages
from sparsight.plots.heatmaps import Checkpoint, Sheet, sheet_pages
from sparsight.plots.metric import metric_pages
from sparsight.plots.sample_pruning import sample_pruning_pages
from sparsight.plots.step_curves import step_curves_pages
from sparsight.plots.style import figure_style
from sparsight.plots.toy import toy_figure
from sparsight.plots.visualisation_sheet import visualisation_figure
from tests.unit.plots.conftest import FAMILIES
from tests.unit.plots.test_claims import ALL

# Panels that have no room lie upon each other, and matplotlib only warns.
pytestmark = pytest.mark.filterwarnings("error:constrained_layout not applied")
WIDTH, TALLEST, SMALLEST = 180 / 25.4, 247 / 25.4, 7
#: explainers of the long study: too many for one row, under names that are too long for a panel
COPIES = [f"_of_a_layer_{letter}" for letter in "abc"]


def long(frame):
    """A study of as many explainers as there are `COPIES` of each, under both conditions."""
    copies = [frame.assign(explainer=frame["explainer"] + copy) for copy in COPIES]
    return pd.concat([copy.assign(condition=of) for copy in copies for of in ("clean", "noisy")])


def long_settings(settings):
    def names(found):
        return [name + copy for name in found for copy in COPIES]

    families = {family: names(members) for family, members in FAMILIES.items()}
    return {**settings, "families": families, "controls": names(settings["controls"])}


def accuracy(made, settings):
    levels = made("make_levels")(levels=26, pruners=("magnitude", "a_pruner_of_a_long_name"))
    one = levels[levels["explainer"] == "cam"]
    frame = one.assign(value=one["accuracy"])
    return accuracy_pages(frame, {**settings, "pruners": ["magnitude", "a_pruner_of_a_long_name"]})


def metric(made, settings):
    levels = made("make_levels")(levels=26)
    return metric_pages(long(levels), long(made("contrasts_of")(levels)), long_settings(settings))


def contrasts(made, settings):
    frame = long(made("contrasts_of")(made("make_levels")(levels=26)))
    return contrasts_pages(frame, long_settings(settings))


def strata(made, settings):
    frame = made("strata")
    return strata_pages(long(frame[frame["subset"].isin(STRATA)]), long_settings(settings))


def correctness(made, settings):
    return correctness_pages(long(made("correctness")), long_settings(settings))


def agreement(made, settings):
    return agreement_pages(long(made("agreement")), {**long_settings(settings), "metric": "ssim"})


def curves(made, settings):
    facts = {"unit": "output for the target at each step, 0 to 1", "step_axis": "pixels imputed, %"}
    settings = {**long_settings(settings), "metric": "road", "metrics": {"road": facts}}
    return step_curves_pages(long(made("make_curves")()), settings)


def checkpoints(made, settings):
    frame = made("agreement")
    frame = frame[(frame["seed"] != "mean") & (frame["reference"] == "dense_parent")]
    lost = frame.assign(lost=3.0 * frame["level"])
    return checkpoints_pages(long(lost), {**long_settings(settings), "metric": "ssim"})


def equal_accuracy(made, settings):
    settings = {**long_settings(settings), "metric": "ssim", "pruners": made("many_pruners")}
    return equal_accuracy_pages(long(made("equal_rows")()), settings)


def concepts(made, settings):
    table, settings = made("concepts_table"), {**settings, **made("concepts_settings")}
    names = {f"{name}_that_is_long_{i}": of for i in range(4)
             for name, of in settings["measures"]["found"].items()}  # fmt: skip
    found = table[table["kind"] == "found"]
    more = [found.assign(measure=found["measure"] + f"_that_is_long_{i}") for i in range(4)]
    settings["measures"] = {**settings["measures"], "found": names}
    return concepts_pages(pd.concat([table, *more]), settings)


def correlations(made, settings, pages=correlations_pages):
    metrics = [f"metric_of_a_long_name_{i:02d}" for i in range(14)]
    names = [f"explainer_of_a_long_name_{i:02d}" for i in range(25)]
    values = {name: (0.1 * i - 1.2, 0.3, 0.5) for i, name in enumerate(names)}
    frame = made("make_correlations")(metrics, ("magnitude", "random"), values)
    return pages(frame, {"dataset": "digits", "model": "cnn", "test_images": 200})


def correlation_tables(made, settings):
    return correlations(made, settings, correlation_table_pages)


def sample_pruning(made, settings):
    names = [*(f"explainer_of_a_long_name_{i}" for i in range(12)), "all"]
    metrics = {f"metric_{i}": {"direction": "higher"} for i in range(7)}
    shares = {"spade_fast": 0.5, "control": 0.7}
    rows = [
        {"pruner": "dense", "level": 0, "condition": "clean", "explainer": name, "n_seeds": 4,
         "n_images": 20, "metric": metric, "sample_pruner": pruner, "difference": 0.01 * i,
         "difference_low": -0.5, "difference_high": 0.5, "images_low": -0.1, "images_high": 0.1,
         "p_adjusted": 0.01, "against_mean": 0.123456, "sparsity": shares[pruner],
         "divergence": shares[pruner] / 50}
        for i, (name, metric, pruner) in enumerate(itertools.product(names, metrics, shares))
    ]  # fmt: skip
    chosen = {"explainers": names, "metrics": metrics, "sample_pruners": list(shares)}
    return sample_pruning_pages(pd.DataFrame(rows), {**settings, **chosen})


def claims(made, settings):
    return claims_pages(ALL, "Claims of the study")


def heatmaps(made, settings):
    generator = np.random.default_rng(0)
    names = ["saliency_of_a_long_name", *(f"explainer_{i}" for i in range(9))]
    levels = [
        Checkpoint(level, 0.7**level, np.array([0, 1, 2]), 32,
                   {name: generator.normal(size=(3, 5, 5)) for name in names})
        for level in range(9)
    ]  # fmt: skip
    sheet = Sheet(
        images=generator.random((3, 1, 6, 6)), labels=np.array([0, 1, 1]),
        image_ids=np.array([1, 2, 10**9]), checkpoints=levels, families={"gradient": names},
        classes=["Black footed Albatross", "blue spotted triangle", "truck"],
        controls={f"control_{name}": np.zeros((3, 5, 5)) for name in ("edges", "mean_activation")},
        targets={"gradient": "the class that the dense network predicts"},
        signed=frozenset(names[1:3]), title="whose networks",
    )  # fmt: skip
    return sheet_pages(sheet)


def concept_sheet(made, settings):
    generator = np.random.default_rng(0)
    kept = {name: [(f"concept_of_a_long_name_{i}", 0.123456) for i in range(4)] for name in "abcd"}
    network = Concepts(
        names=kept, pruner="magnitude", level=3, density=0.125,
        crops={name: generator.random((4, 5, 6, 6, 3)) for name in kept},
        picture={name: generator.random((6, 6, 3)) for name in kept},
        heat={name: generator.random((4, 4, 4)) for name in kept},
    )  # fmt: skip
    return [sheet_figure(network, network, {**settings, "concept": "craft"})]


def visualisations(made, settings):
    path, generator = made("tmp_path") / "pictures.safetensors", torch.Generator().manual_seed(0)
    shapes = {"images": (2, 2, 1, 8, 8), "pictures": (2, 3, 3, 8, 8), "probability": (2, 3),
              "network_probability": (2, 3), "sparsity": (2, 2)}  # fmt: skip
    arrays = {name: torch.rand(shape, generator=generator) for name, shape in shapes.items()}
    arrays |= {"labels": torch.tensor([0, 1]), "predicted": torch.tensor([[0, 1], [1, 1]])}
    classes = ["English springer", "a_truck_of_a_long_name"]
    facts = {"stickers": ["smiley", "heart"], "classes": classes}
    facts = {name: json.dumps(value) for name, value in facts.items()}
    write_arrays(path, arrays, {**facts, "method": "fourier", "steps": "256",
                                "sample_pruner": "spade_fast"})  # fmt: skip
    return [visualisation_figure(path, settings)]


def toy(made, settings):
    generator = np.random.default_rng(0)
    rows = [
        {"seed": seed, "scenario": scenario, "solver": solver, "sparsity": sparsity,
         "own_region": generator.random()}
        for seed, scenario in itertools.product(range(3), (1, 2))
        for solver, chosen in (("dense", [0]), ("obs_fast", [0.3, 0.8]), ("magnitude", [0.3]))
        for sparsity in chosen
    ]  # fmt: skip
    planes = {name: generator.random((2, 9, 9)) for name in ("obs_fast", "magnitude")}
    planes |= {"dense": planes["obs_fast"][0], "inside": np.arange(90) % 2,
               "points": generator.normal(size=(90, 2)),
               "samples": generator.normal(size=(2, 20, 2))}  # fmt: skip
    return [toy_figure(pd.DataFrame(rows), planes, 0.8, 3.0)]


#: pages of pictures and of texts, without panels of curves
SHEETS = [claims, heatmaps, concept_sheet, visualisations, toy]
FIGURES = [
    accuracy, metric, contrasts, strata, correctness, agreement, curves, checkpoints,
    equal_accuracy, concepts, correlations, correlation_tables, sample_pruning,
]  # fmt: skip


@pytest.fixture(scope="module")
def known():
    """Figures that were drawn."""
    return {}


@pytest.fixture
def draw(request, settings, known):
    """Function that gives the pages of a figure, laid out as they are written."""

    def drawn(figure):
        if figure not in known:
            with figure_style():
                pages = figure(request.getfixturevalue, {**settings, "test_images": "all"})
                for page in pages:
                    page.draw_without_rendering()
            known[figure] = pages
        return known[figure]

    return drawn


@pytest.fixture(params=FIGURES, ids=lambda figure: figure.__name__)
def drawn(request, draw):
    """The pages of a figure with panels."""
    return draw(request.param)


def test_every_figure_is_here():
    modules = {path.stem for path in Path(plots.__file__).parent.glob("*.py")}
    named = {figure.__name__ for figure in (*FIGURES, *SHEETS)}
    others = {"__init__", "labels", "pages", "panels", "report", "style", "verdicts"}
    renamed = {"step_curves": "curves", "visualisation_sheet": "visualisations"}
    assert {renamed.get(name, name) for name in modules - others} <= named


def shown(page):
    """Texts that can be seen: matplotlib keeps tick labels beyond an axis."""
    beyond = {
        tick.label1
        for axes in page.axes
        for axis in (axes.xaxis, axes.yaxis)
        for tick in axis.get_major_ticks()
        if not min(axis.get_view_interval()) <= tick.get_loc() <= max(axis.get_view_interval())
    }
    return [
        text
        for text in page.findobj(Text)
        if text.get_visible() and text.get_text().strip() and text not in beyond
    ]


@pytest.mark.parametrize("figure", [*FIGURES, *SHEETS], ids=lambda figure: figure.__name__)
def test_every_page_is_one_that_a_reader_can_use(figure, draw, overlaps):
    for page in draw(figure):
        width, height = page.get_size_inches()
        assert width <= WIDTH + 0.01
        assert height <= TALLEST + 0.01
        texts = shown(page)
        assert min(text.get_fontsize() for text in texts) >= SMALLEST
        outside = [
            text.get_text()
            for text in texts
            if not page.bbox.padded(1).contains(*text.get_window_extent().min)
            or not page.bbox.padded(1).contains(*text.get_window_extent().max)
        ]
        assert outside == []
        # lines of claims touch: letters without tails leave air
        if figure is claims:
            continue
        # the box around a slanted name is larger than the name
        assert overlaps([text for text in texts if text.get_rotation() in (0, 90)]) == []


def test_every_row_is_full_and_no_panel_is_empty(drawn):
    for page in drawn:
        rows: dict[float, list] = {}
        boxes = [axes.get_window_extent() for axes in page.axes]
        assert not any(one.overlaps(two) for i, one in enumerate(boxes) for two in boxes[:i])
        for axes in page.axes:
            assert axes.has_data()
            rows.setdefault(round(axes.get_position().y1, 2), []).append(axes.get_position())
        ends = [max(box.x1 for box in row) for row in rows.values()]
        starts = [min(box.x0 for box in row) for row in rows.values()]
        assert max(ends) - min(ends) < 0.06
        assert max(starts) - min(starts) < 0.06


def test_every_page_says_how_many_networks_levels_and_images_it_shows(drawn, legend_of):
    for page in drawn:
        facts, *names = legend_of(page)
        for word in ("network", "level", "image"):
            assert word in facts
        assert len(set(names)) == len(names)


def test_every_interval_that_leaves_its_panel_is_marked(drawn, lines_of):
    for page in drawn:
        for axes in page.axes:
            low, high = sorted(axes.get_ylim())
            ends = [
                segment
                for marks in axes.collections
                if isinstance(marks, LineCollection) and marks.get_gid() in ("interval", "images")
                for segment in marks.get_segments()
            ]
            beyond = {x for segment in ends for x, y in segment if not low <= y <= high}
            marked = {x for line in lines_of(axes, "cut") for x in line.get_xdata()}
            assert beyond <= marked


def test_the_last_level_has_its_label(drawn):
    for page in drawn:
        for part in page.subfigs:
            if "pruning level" not in part.get_supxlabel():
                continue
            lowest = min(axes.get_position().y0 for axes in part.axes)
            for axes in part.axes:
                if axes.get_position().y0 > lowest + 0.01:
                    continue
                drawn_at = [x for line in axes.lines if line.get_gid() in ("mean", "gapped")
                            for x in np.asarray(line.get_xdata())]  # fmt: skip
                last = axes.get_xticklabels()[-1]
                assert last.get_text()
                assert last.get_position()[0] >= np.nanmax([0, *drawn_at]) - 0.5
