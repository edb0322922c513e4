"""What people read in place of configured names."""

import pandas as pd
import pytest

from sparsight.plots.labels import label_of, labelled
from sparsight.study.labels import study_labels
from sparsight.study.models import Pruner
from sparsight.study.settings import FigureSettings, RuleSettings, TableSettings

CAM = {"family": "cam", "method": "grad_cam_pp"}


def with_explainers(study_of, **entries):
    """Labels of a study of these explainers."""
    catalogue = {"explainers": entries}
    study = study_of({"explainers": [*entries], "catalogue": catalogue, "claims": []})
    return study_labels(study.config)["explainer"]


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        (CAM, "Grad-CAM++"),
        ({**CAM, "parameters": {"layer": "conv2"}}, "Grad-CAM++ at conv2"),
        ({**CAM, "parameters": {"epsilon": 0.5}}, "Grad-CAM++ (epsilon 0.5)"),
        ({**CAM, "parameters": {"epsilon": 0.0}}, "Grad-CAM++"),
        ({**CAM, "target": "predicted"}, "Grad-CAM++ (predicted class)"),
        ({"family": "gradient", "method": "saliency"}, "saliency"),
        (
            {"family": "cam", "method": "eigen_cam", "parameters": {"centred": True}},
            "Eigen-CAM (centred)",
        ),
        ({"family": "gradient", "method": "captum.Deconvolution"}, "Deconvolution"),
        (
            {
                "family": "surrogate",
                "method": "lime",
                "parameters": {"n_samples": 30, "segments": 12, "kernel_width": 0.5},
            },
            "LIME [mine]",
        ),
        ({**CAM, "label": "my own CAM"}, "my own CAM"),
    ],
)
def test_a_label_is_made_of_the_method_and_what_is_not_its_default(study_of, entry, expected):
    assert with_explainers(study_of, mine=entry) == {"mine": expected}


def test_equal_labels_are_told_apart_by_their_names(study_of):
    found = with_explainers(study_of, one=CAM, two=CAM, three={**CAM, "label": "T"})
    assert found == {"one": "Grad-CAM++ [one]", "two": "Grad-CAM++ [two]", "three": "T"}


def test_explainers_on_copies_are_called_after_both(study_of):
    study = study_of(
        {
            "explainers": ["saliency"],
            "sample_pruning": {"pruners": ["spade_fast"], "explainers": ["saliency"]},
        }
    )
    found = study_labels(study.config)["explainer"]
    assert found["spade_fast__saliency"] == "saliency on SPADE copies"


def test_what_has_no_method_is_called_by_its_words(study_of):
    pruner = {"criterion": "magnitude", "rate": 0.5, "levels": 1}
    rounded = {"bits": [8], "label": "8 bits"}
    study = study_of(
        {
            "pruners": ["my_way", "retrain", "rounded"],
            "catalogue": {"pruners": {"my_way": pruner, "rounded": rounded}},
        }
    )
    found = study_labels(study.config)
    assert found["pruner"] == {"my_way": "my way", "retrain": "only retrained", "rounded": "8 bits"}
    assert found["dataset"] == {"digits": "digits"}
    assert found["model"] == {"thesis_cnn_digits": "thesis CNN"}


def test_levels_of_another_tool_have_a_label_too():
    given = Pruner.model_validate({"given": ["/a.pth"], "label": "theirs"})
    assert given.label == "theirs"


@pytest.mark.parametrize("label", ["", "two\nlines", "{dataset}", "x" * 61])
def test_a_label_is_one_short_line(problems_of, label):
    found = problems_of({"catalogue": {"explainers": {"saliency": {"label": label}}}})
    assert len(found) == 1
    assert "catalogue.explainers.saliency.label" in found[0]


def test_only_what_draws_depends_on_labels(study_of):
    """A network is not trained again because it is called otherwise."""
    parts = {
        "datasets": "digits",
        "models": "thesis_cnn_digits",
        "pruners": "magnitude",
        "explainers": "saliency",
        "metrics": "soft_iou",
        "agreement": "spearman",
    }
    labels = {part: {name: {"label": f"renamed {part}"}} for part, name in parts.items()}
    before, after = study_of(), study_of({"catalogue": labels})

    def computed(study):
        rules, tables = RuleSettings(study), TableSettings(study)
        network = "digits", "thesis_cnn_digits"
        return [
            rules.fetching("digits"),
            rules.packing("digits"),
            rules.start(*network),
            rules.level(*network, "magnitude", 1),
            rules.score_entries("gradient", *network),
            rules.compare_entries("gradient", *network),
            tables.summary(),
            tables.agreement(),
        ]

    assert computed(before) == computed(after)
    drawn = FigureSettings(after).metric("digits", "thesis_cnn_digits", "soft_iou")["labels"]
    assert drawn["metric"] == {"soft_iou": "renamed metrics"}
    assert drawn["explainer"]["saliency"] == "renamed explainers"
    assert drawn["pruner"]["magnitude"] == "renamed pruners"


def test_tables_are_labelled_where_they_have_names():
    settings = {"labels": {"explainer": {"a": "A"}, "pruner": {"p": "P"}, "metric": {}}}
    frame = pd.DataFrame({"explainer": ["a", "b"], "pruner": ["dense", "p"], "level": [0, 1]})
    found = labelled(frame, settings)
    assert found["explainer"].tolist() == ["A", "b"]
    assert found["pruner"].tolist() == ["dense", "P"]
    assert frame["explainer"].tolist() == ["a", "b"]
    assert label_of({}, "explainer", "a") == "a"
