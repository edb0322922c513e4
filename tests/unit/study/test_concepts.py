"""Concepts in a configuration: what runs where, what its jobs depend on, and what is refused."""

import pytest

from sparsight.study.plan import ConceptPlan, Place
from sparsight.study.settings import ConceptSettings, RuleSettings, TableSettings

pytestmark = pytest.mark.usefixtures("concept_methods")

NETWORK = {
    "datasets": ["shapes"],
    "models": ["resnet18_shapes"],
    "pruners": ["magnitude", "retrain"],
    "seeds": [1, 2],
    "explainers": ["saliency"],
    "metrics": ["soft_iou"],
}
CATALOGUE = {
    "concepts": {
        "labels": {"method": "labelled"},
        "crops": {"method": "drawn"},
        "parts": {"method": "parted"},
    }
}
BASE = {**NETWORK, "concepts": ["labels", "crops", "parts"], "catalogue": CATALOGUE}


def places(plan, name):
    return [place for place, found in plan.places() if found == name]


def test_without_concepts_nothing_is_planned(study_of):
    plan = ConceptPlan(study_of(NETWORK))
    assert (plan.names(), plan.places()) == ([], [])
    assert not plan.has_concept_claims()


def test_every_checkpoint_is_looked_at_and_compared_with_its_references(study_of):
    study = study_of(BASE)
    plan = ConceptPlan(study)
    assert places(plan, "labels") == list(study.places())
    assert all(plan.is_compared(place, "labels") for place in study.places())
    # no comparisons among its facts
    assert not any(plan.is_compared(place, "crops") for place in study.places())
    (network,) = study.networks()
    assert plan.sheets(network) == ["crops"]
    assert plan.sheet_pruners(network) == ["magnitude"]
    place = plan.sheet_place("shapes", "resnet18_shapes", "magnitude")
    assert place == Place("shapes", "resnet18_shapes", 1, "magnitude", 5)
    assert plan.study.chain(place)[0] == Place("shapes", "resnet18_shapes", 1, "dense", 0)


def test_levels_are_chosen_as_those_of_explanations(study_of):
    plan = ConceptPlan(study_of({**BASE, "concept_analysis": {"levels": [0, 2]}}))
    found = {(place.pruner, place.level) for place in places(plan, "crops")}
    assert found == {("dense", 0), ("magnitude", 2), ("retrain", 1)}
    figures = {"concept_sheet_level": 4}
    plan = ConceptPlan(
        study_of({**BASE, "concept_analysis": {"levels": [0, 2]}, "figures": figures})
    )
    # the last one up to level 4 that is looked at
    assert plan.sheet_place("shapes", "resnet18_shapes", "magnitude").level == 2
    plan = ConceptPlan(study_of({**BASE, "concept_analysis": {"levels": 2}}))
    assert {p.level for p in places(plan, "crops") if p.pruner == "magnitude"} == {5}


def test_a_network_can_have_concepts_of_its_own(study_of):
    networks = [
        {"dataset": "shapes", "model": "resnet18_shapes", "concepts": ["crops"]},
        {"dataset": "shapes_cue", "model": "resnet18_shapes"},
    ]
    study = study_of({**BASE, "datasets": ["shapes", "shapes_cue"], "networks": networks})
    plan = ConceptPlan(study)
    assert {place.dataset for place in places(plan, "labels")} == {"shapes_cue"}
    assert {place.dataset for place in places(plan, "crops")} == {"shapes", "shapes_cue"}


def test_a_bank_is_prepared_and_need_not_run(study_of):
    bank = {"concept_bank": {"shapes": "shapes_cue"}}
    for datasets in (["shapes"], ["shapes", "shapes_cue"]):
        study = study_of({**BASE, **bank, "datasets": datasets})
        assert study.concept_bank("shapes") == "shapes_cue"
        assert study.prepared_datasets() == ["shapes", "shapes_cue"]


# --- what jobs depend on


def jobs_of(study):
    """Every job about concepts: name to settings and modules."""
    of, place = ConceptSettings(study), ("shapes", "resnet18_shapes")
    found = {"features": (of.features(), RuleSettings(study).network_items(place[1]))}
    for name in of.plan.names():
        found[f"find {name}"] = (of.find(name), of.find_items(name, place[1]))
        compare = of.compare(*place, "1", "magnitude", 1, name)
        found[f"compare {name}"] = (compare, of.compare_items(name))
        found[f"figure {name}"] = (of.figure(*place, name), [])
    return {**found, "summary": (of.summary(), []), "page": (of.page(), [])}


CHANGES = {
    "parameter": (
        {"catalogue": {"concepts": {**CATALOGUE["concepts"], "labels": {
            "method": "labelled", "parameters": {"strength": 0.25}}}}},
        # the label of the method names its parameters
        {"find labels", "compare labels", "figure labels", "page"},
    ),
    "images": (
        {"concept_analysis": {"images": 50}},
        # figures say how many they are
        {f"{job} {name}" for job in ("find", "figure") for name in ("labels", "crops", "parts")},
    ),
    "batch size": (
        {"concept_analysis": {"batch_size": 5}},
        {"features", "find labels", "find crops", "find parts"},
    ),
    "levels": ({"concept_analysis": {"levels": [0, 5]}}, set()),
    "bank": ({"concept_bank": {"shapes": "shapes_cue"}}, set()),
    "confidence": (
        {"statistics": {"confidence": 0.9}},
        {"summary", "figure labels", "figure crops", "figure parts"},
    ),
    "explaining": ({"explaining": {"images": 50}}, set()),
}  # fmt: skip


@pytest.mark.parametrize(("overlay", "expected"), CHANGES.values(), ids=CHANGES)
def test_a_change_reaches_those_who_use_it(study_of, overlay, expected):
    before, after = jobs_of(study_of(BASE)), jobs_of(study_of({**BASE, **overlay}))
    assert {name for name in before if before[name] != after[name]} == expected


def test_a_method_is_code_of_its_own_jobs_only(study_of):
    jobs = jobs_of(study_of(BASE))
    modules = {name: [item.module for item in items] for name, (_, items) in jobs.items()}
    assert modules["find labels"] == ["concept_examples", "sparsight.models.resnet"]
    assert modules["compare labels"] == ["concept_examples"]
    assert modules["features"] == ["sparsight.models.resnet"]


def test_tables_know_direction_and_unit_from_the_facts(study_of):
    summary = ConceptSettings(study_of(BASE)).summary()
    assert summary["measures"]["labels"] == {
        "found": {"accuracy": ["higher", "share"], "size": ["", "concepts"]},
        "compared": {"jaccard": ["higher", "0 to 1"]},
    }
    assert summary["tables"] == ["labels", "parts"]
    assert summary["retrain"] == ["retrain"]


def test_a_comparison_names_its_references(study_of):
    of = ConceptSettings(study_of({**BASE, "seeds": [1, 2, 3]}))
    place = ("shapes", "resnet18_shapes", "2")
    assert of.compare(*place, "magnitude", 4, "labels")["references"] == [
        {"pruner": "dense", "seed": 2, "level": 0}
    ]
    seeds = [r["seed"] for r in of.compare(*place, "dense", 0, "labels")["references"]]
    assert seeds == [1, 3]


def test_the_whole_configuration_records_what_was_chosen(study_of):
    whole = TableSettings(study_of(BASE)).whole()
    assert set(whole["catalogue"]["concepts"]) == set(BASE["concepts"])
    assert TableSettings(study_of(NETWORK)).whole()["catalogue"]["concepts"] == {}


# --- what is refused

WRONG = {
    "unknown": ({"concepts": ["lables"]}, "concepts names the unknown concept method 'lables'"),
    "method": (
        {"catalogue": {"concepts": {**CATALOGUE["concepts"], "labels": {"method": "labeled"}}}},
        "catalogue.concepts.labels.method names the unknown concept method 'labeled'",
    ),
    "parameter": (
        {"catalogue": {"concepts": {**CATALOGUE["concepts"], "labels": {
            "method": "labelled", "parameters": {"strenght": 1}}}}},
        "catalogue.concepts.labels.parameters names the unknown parameter 'strenght'",
    ),
    "file name": (
        {"concepts": ["a_measures"],
         "catalogue": {"concepts": {"a_measures": {"method": "drawn"}}}},
        "the name a_measures ends in _measures, which names a file",
    ),
    "bank of nothing": (
        {"concept_bank": {"shape": "shapes_cue"}},
        "concept_bank names the unknown dataset that runs 'shape'; did you mean 'shapes'?",
    ),
    "unknown bank": (
        {"concept_bank": {"shapes": "shapes_queue"}},
        "concept_bank.shapes names the unknown dataset 'shapes_queue'",
    ),
    "bank of another form": (
        {"concept_bank": {"shapes": "digits"}, "concepts": ["crops"]},
        "concept_bank.shapes is digits, whose images are (1, 28, 28)",
    ),
    "bank without labels": (
        {"concept_bank": {"shapes": "imagenette_64"}},
        "concepts: labels needs concept labels, which imagenette_64 does not have; name a data "
        "set that has them under concept_bank.shapes.",
    ),
    "images": (
        {"concept_analysis": {"images": 500}},
        "concept_analysis.images is 500, but shapes has 400 test images",
    ),
    "no dense level": (
        {"concept_analysis": {"levels": [1, 2]}},
        "concept_analysis.levels is a list of 2 without 0; add level 0",
    ),
    "level": (
        {"concept_analysis": {"levels": [0, 9]}},
        "concept_analysis.levels holds level 9, but the pruners' levels are 0 to 5.",
    ),
    "of a network": (
        {"networks": [{"dataset": "shapes", "model": "resnet18_shapes", "concepts": ["cav"]}]},
        "networks[0].concepts names the unknown concept that runs 'cav'",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("overlay", "words"), WRONG.values(), ids=WRONG)
def test_what_cannot_run_is_one_sentence(problems_of, overlay, words):
    assert problems_of(BASE) == []
    found = problems_of({**BASE, **overlay})
    assert len(found) == 1, found
    assert words in found[0]
    assert found[0].endswith(".") or found[0].endswith(").")
    assert len(found[0]) <= 280


def test_needs_that_a_data_set_lacks(problems_of):
    digits = {"datasets": ["digits"], "models": ["thesis_cnn_digits"]}
    found = problems_of({**BASE, **digits})
    assert len(found) == 2
    assert "labels needs concept labels, which digits does not have" in found[0]
    # digits have masks
    assert "parts needs masks of parts, which digits does not have; drop one of them" in found[1]


@pytest.mark.parametrize("value", ["cav", [1], ["a b"]])
def test_the_schema_holds_the_form(problems_of, value):
    assert "concepts" in problems_of({**BASE, "concepts": value})[0]
