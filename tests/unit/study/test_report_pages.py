"""What the report shows: pages in categories, the figures that carry the answer, the counts."""

from pathlib import Path

from sparsight.study.configuration import catalogue_and_study, normalise, overlaid, resolve
from sparsight.study.plan import Study
from sparsight.study.report_pages import CATEGORIES, FIGURES, ReportSettings
from sparsight.study.yaml_files import load_yaml

ROOT = Path(__file__).parents[3]

FILES = [
    "claims.svg",
    "claims.png",
    "accuracy/digits__thesis_cnn_digits.svg",
    "metrics/digits__thesis_cnn_digits__soft_iou.svg",
    "metrics/digits__thesis_cnn_digits__entropy.svg",
    "agreement/digits__thesis_cnn_digits__spearman.svg",
    "heatmaps/digits__thesis_cnn_digits__magnitude.svg",
    "heatmaps/digits__thesis_cnn_digits__magnitude.png",
]
CLAIM = {
    "name": "grows",
    "claim": "It grows.",
    "test": "change",
    "pruner": "magnitude",
    "explainer": "saliency",
    "levels": [5, 5],
    "expected": "positive",
    "smallest": 0.1,
    "because": "of this",
}


def test_every_figure_is_a_page_in_one_form_and_every_table_is_one(study_of):
    pages = [*ReportSettings(study_of()).pages(FILES, ["levels"])]
    assert len({page["page"] for page in pages}) == len(pages) == 7
    files = [page["file"] for page in pages]
    # maps are smaller as png
    assert files == [*FILES[:1], *FILES[2:6], FILES[7], "levels.csv"]
    metric = pages[2]
    assert metric["names"]["metric"] == "soft_iou"
    assert metric["labels"] == {
        "figure": "level by level",
        "data set": "digits",
        "model": "thesis CNN",
        "metric": "soft IoU",
    }
    assert metric["title"] == "level by level, soft IoU, thesis CNN on digits"
    assert {page["page"].partition("/")[0] for page in pages} <= {*CATEGORIES}
    assert {kind.folder for kind in FIGURES.values()} <= {*CATEGORIES}


def test_figures_of_concepts_are_pages():
    given = load_yaml(ROOT / "studies" / "concepts_shapes.yaml")
    whole, _ = resolve(normalise(overlaid(catalogue_and_study(ROOT, own=True), given)))
    network = "shapes__resnet18_shapes"
    files = [
        f"concepts/{network}__tcav_layer3.svg",
        f"concept_sheets/{network}__magnitude__craft_shapes.png",
    ]
    found = {page["file"]: page for page in ReportSettings(Study(whole)).pages(files, [])}
    assert found[files[0]]["labels"]["concept"] == "TCAV at layer3"
    names = found[files[1]]["names"]
    assert (names["pruner"], names["concept"]) == ("magnitude", "craft_shapes")


def test_the_first_claim_says_which_figures_carry_the_answer(study_of):
    claims = [{**CLAIM, "metric": "entropy"}, {**CLAIM, "name": "primary", "tier": "primary"}]
    claims[1]["metric"] = "soft_iou"
    found = ReportSettings(study_of({"claims": claims})).report(FILES, [])
    assert found["carrying"] == [FILES[0], FILES[3], FILES[2]]
    found = ReportSettings(study_of()).report(FILES[2:], [])
    # without claims, agreement comes first
    assert found["carrying"] == [FILES[5], FILES[3], FILES[2]]


def test_figures_say_how_many_networks_levels_and_images_they_are_of(study_of):
    found = ReportSettings(study_of({"explaining": {"images": 40}})).report(FILES, [])
    assert found["counts"] == {
        "digits/thesis_cnn_digits": "3 trained networks, 6 levels, 40 explained images"
    }
