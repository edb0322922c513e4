"""The project's own studies: they resolve, and state only what differs from the defaults."""

import copy
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from sparsight.explain.registry import EXPLAINERS
from sparsight.study.configuration import (
    catalogue_and_study,
    normalise,
    overlaid,
    resolve,
)
from sparsight.study.models import Catalogue, StudyFile
from sparsight.study.plan import Study, check_disk_budget, has_masks
from sparsight.study.yaml_files import load_yaml

ROOT = Path(__file__).parents[3]
STUDIES = [ROOT / "config.yaml", *sorted((ROOT / "studies").glob("*.yaml"))]
CATALOGUE = catalogue_and_study(ROOT, own=True)["catalogue"]


def leaves(value: Any, place: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Places of all values that are no mappings, and of empty mappings."""
    if not isinstance(value, Mapping) or not value:
        yield place
        return
    for key, inner in value.items():
        yield from leaves(inner, (*place, key))


def without(value: dict[str, Any], place: tuple[str, ...]) -> dict[str, Any]:
    """A copy without the value at a place, and without mappings that are empty then."""
    found = copy.deepcopy(value)
    path = [found]
    for step in place[:-1]:
        path.append(path[-1][step])
    del path[-1][place[-1]]
    for step, outer, inner in zip(
        reversed(place[:-1]), reversed(path[:-1]), reversed(path[1:]), strict=True
    ):
        if not inner:
            del outer[step]
    return found


def resolved(study: dict[str, Any], place: tuple[str, ...]) -> Any:
    """The part of a study around a place, over the catalogue and with its defaults."""
    if place[0] != "catalogue":
        needed = {"study": "x", "datasets": ["x"], "models": ["x"]}
        part = {key: value for key, value in study.items() if key in (place[0], "explaining")}
        try:
            whole = StudyFile.model_validate({**needed, **part}).model_dump()
        except ValidationError:
            # something that must be stated is left out
            return None
        families = {n: {**whole["explaining"], **f} for n, f in whole["families"].items()}
        families = {n: family for n, family in families.items() if family != whole["explaining"]}
        return {**whole, "families": families}
    _, kind, name, *_ = place
    entry = overlaid(
        CATALOGUE.get(kind, {}).get(name, {}),
        study.get("catalogue", {}).get(kind, {}).get(name, {}),
    )
    try:
        return Catalogue.model_validate({kind: {name: entry}}).model_dump()
    except ValidationError:
        # something that must be stated is left out
        return None


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_a_study_states_only_what_differs_from_the_defaults(path):
    study = load_yaml(path)
    repeated = [
        ".".join(place)
        for place in leaves(study)
        if resolved(study, place) == resolved(without(study, place), place)
    ]
    assert repeated == []


#: why a model of the catalogue cannot take a data set: images, splits, pretraining
UNFIT = ("takes images of", "has images of", "in the split 'validation'", "the study's own")


@pytest.mark.parametrize("dataset", CATALOGUE["datasets"])
def test_a_study_of_three_lines_can_be_planned(dataset):
    planned = 0
    for model in CATALOGUE["models"]:
        lines = {"study": "mine", "datasets": [dataset], "models": [model]}
        config = normalise({**lines, "catalogue": CATALOGUE})
        whole, problems = resolve(config)
        if problems and all(any(reason in text for reason in UNFIT) for text in problems):
            continue
        assert problems == []
        study = Study(whole)
        check_disk_budget(study)
        (network,) = study.networks()
        assert {"saliency", "grad_cam_pp", "control_edges"} <= set(network.explainers)
        assert ("soft_iou" in network.metrics) == has_masks(study, dataset)
        assert study.conditions(dataset) == ["clean"]
        assert all(
            study.explains(family, place.pruner, place.level)
            for family in study.network_families()
            for place in study.places()
        )
        planned += 1
    assert planned > 1


def test_what_all_networks_name_need_not_be_named_again():
    networks = [
        {"dataset": "digits", "model": "thesis_cnn", "seeds": [3, 1], "pruners": ["retrain"]},
        {"dataset": "mnist", "model": "thesis_cnn", "seeds": [2, 3]},
    ]
    config = normalise({"study": "mine", "networks": networks, "catalogue": CATALOGUE})
    whole, problems = resolve(config)
    assert problems == []
    assert (whole["datasets"], whole["models"]) == (["digits", "mnist"], ["thesis_cnn"])
    assert whole["seeds"] == [3, 1, 2]
    assert whole["pruners"] == ["magnitude", "retrain"]


def test_explainers_and_metrics_are_chosen_network_by_network(facts_with):
    facts_with(EXPLAINERS, "grad_cam_pp", excluded_models=("thesis_cnn",))
    lines = {
        "study": "mine",
        "datasets": ["digits", "imagenette_64"],
        "models": ["thesis_cnn", "resnet18_w32"],
        "networks": [
            {"dataset": "digits", "model": "thesis_cnn"},
            {"dataset": "imagenette_64", "model": "resnet18_w32", "explainers": ["saliency"]},
        ],
    }
    config = normalise({**lines, "catalogue": CATALOGUE})
    whole, problems = resolve(config)
    assert problems == []
    digits, objects = Study(whole).networks()
    assert "grad_cam_pp" not in digits.explainers
    assert "pixel_roc_auc" in digits.metrics
    assert objects.explainers == ("saliency",)
    assert objects.metrics == ("gini_sparseness", "entropy")
