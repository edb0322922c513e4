"""Explainers on pruned copies: what a configuration makes of `sample_pruning`."""

import pytest

from sparsight.study.plan import DENSE
from sparsight.study.settings import RuleSettings, SampleSettings

SPADE = {
    "datasets": ["shapes"],
    "models": ["resnet18_shapes"],
    "pruners": ["magnitude"],
    "explainers": ["saliency", "occlusion", "mean_activation", "grad_cam", "control_edges"],
    "metrics": ["pixel_roc_auc", "max_sensitivity"],
    "families": {
        "gradient": {"target": "true", "levels": "all"},
        "perturbation": {"levels": "all"},
    },
    "sample_pruning": {
        "pruners": ["spade_fast", "spade_random"],
        "explainers": ["saliency", "occlusion"],
        "images": 10,
        "levels": [0, 2],
    },
}


def chosen(**keys):
    return {**SPADE, "sample_pruning": {**SPADE["sample_pruning"], **keys}}


def test_without_sample_pruners_nothing_is_added(study_of):
    study = study_of(chosen(pruners=[]))
    assert study.config["explainers"] == SPADE["explainers"]
    assert study.sample_families() == []
    assert study.families_on_networks() == ["gradient", "perturbation", "cam"]


def test_each_explainer_stands_once_more_for_each_sample_pruner(study_of):
    study = study_of(SPADE)
    assert study.config["explainers"] == [
        *SPADE["explainers"],
        *("spade_fast__saliency", "spade_fast__occlusion"),
        *("spade_random__saliency", "spade_random__occlusion"),
    ]
    assert study.sample_families() == [
        *("spade_fast__gradient", "spade_fast__perturbation"),
        *("spade_random__gradient", "spade_random__perturbation"),
    ]
    entry = study.catalogue["explainers"]["spade_fast__occlusion"]
    assert entry["method"] == "occlusion"
    assert study.sample_pruner("spade_fast__perturbation") == "spade_fast"
    assert study.families_on_networks() == ["gradient", "perturbation", "cam"]


def test_all_are_those_that_look_at_the_network_and_are_no_controls(study_of):
    study = study_of(chosen(explainers="all", pruners=["spade_fast"]))
    added = [name for name in study.config["explainers"] if name.startswith("spade_fast__")]
    # The mean activation knows no class: a control that needs the network.
    assert added == ["spade_fast__saliency", "spade_fast__occlusion", "spade_fast__grad_cam"]


def test_how_their_families_are_explained(study_of):
    study = study_of(SPADE)
    found = study.explaining("spade_random__gradient")
    assert (found["images"], found["levels"], found["target"]) == (10, [0, 2], "true")
    assert study.explains("spade_fast__gradient", DENSE, 0)
    assert study.explains("spade_fast__gradient", "magnitude", 2)
    assert not study.explains("spade_fast__gradient", "magnitude", 1)
    own = {"families": {**SPADE["families"], "spade_fast__gradient": {"images": 5}}}
    assert study_of({**SPADE, **own}).explaining("spade_fast__gradient")["images"] == 5


def test_networks_with_explainers_of_their_own_have_no_others_on_copies(study_of):
    own = {"dataset": "shapes", "model": "resnet18_shapes", "explainers": ["saliency", "grad_cam"]}
    study = study_of({**SPADE, "networks": [own]})
    (network,) = study.networks()
    assert network.explainers == (
        *("saliency", "grad_cam", "spade_fast__saliency", "spade_random__saliency"),
    )


def test_copies_are_not_compared_between_networks(study_of):
    study = study_of({**SPADE, "agreement": ["spearman"]})
    assert not set(study.agreement_families()) & set(study.sample_families())


def test_metrics_that_explain_anew_leave_copies_out(study_of):
    settings = RuleSettings(study_of(SPADE))
    place = ("shapes", "resnet18_shapes")
    found = settings.score_entries("gradient", *place).groups["metrics"]
    assert set(found) == set(SPADE["metrics"])
    assert set(settings.score_entries("spade_fast__gradient", *place).groups["metrics"]) == {
        "pixel_roc_auc"
    }
    items = settings.score_items("spade_fast__gradient", *place)
    assert not any("sensitivity" in item.module for item in items)


def test_who_searches_and_who_takes_what_was_found(study_of):
    samples = SampleSettings(study_of(SPADE))
    assert samples.searching_pruners() == ["spade_fast"]
    assert samples.search_of("spade_random") == "spade_fast"
    explained = samples.explain("spade_random__gradient", "shapes", "resnet18_shapes")
    assert explained["sample_pruner"]["sparsities"] == {}
    assert explained["sample_pruner"]["solver"] == "random"
    assert samples.calibration_split("spade_fast") == "train"
    items = samples.explain_items("spade_random__gradient", "shapes", "resnet18_shapes")
    assert [item.name for item in items if item.kind == "sample solver"] == ["random"]


def test_given_sparsities_are_handed_on_to_those_that_take_them(study_of):
    pruners = {
        "one": {"solver": "obs_fast", "sparsities": {"constant": 0.5}},
        "other": {"solver": "magnitude", "sparsities": {"as": "one"}},
    }
    overlay = {**chosen(pruners=["one", "other"]), "catalogue": {"sample_pruners": pruners}}
    samples = SampleSettings(study_of(overlay))
    assert samples.searching_pruners() == []
    found = samples.explain("other__gradient", "shapes", "resnet18_shapes")["sample_pruner"]
    assert found["sparsities"] == {"constant": 0.5}
    assert found["augmentations"] == 1024


def test_pairs_of_the_table(study_of):
    study = study_of(SPADE)
    samples = SampleSettings(study)
    assert samples.pairs()["spade_random__occlusion"] == ["spade_random", "occlusion"]
    assert samples.unpruned_family("spade_random__perturbation") == "perturbation"
    figure = samples.figure("shapes", "resnet18_shapes")
    assert figure["explainers"] == ["saliency", "occlusion"]


@pytest.mark.parametrize(
    ("overlay", "found"),
    [
        (chosen(pruners=["spade_fst"]), "sample_pruning.pruners names the unknown sample pruner"),
        (chosen(explainers=["saliencia"]), "sample_pruning.explainers names the unknown explainer"),
        (chosen(explainers=["control_edges"]), "control_edges is a control or looks at no network"),
        (
            {
                "catalogue": {
                    "sample_pruners": {"x": {"solver": "obs", "sparsities": {"constant": 0.5}}}
                }
            },
            "catalogue.sample_pruners.x.solver names the unknown sample solver",
        ),
        (
            {
                "catalogue": {
                    "sample_pruners": {"x": {"solver": "obs_fast", "sparsities": {"as": "y"}}}
                }
            },
            "catalogue.sample_pruners.x.sparsities.as names the unknown sample pruner",
        ),
        (
            {
                "catalogue": {
                    "sample_pruners": {
                        "x": {"solver": "obs_fast", "sparsities": {"as": "spade_random"}}
                    }
                }
            },
            "name spade_fast instead",
        ),
        (
            {
                "catalogue": {
                    "sample_pruners": {
                        "x": {
                            "solver": "obs_fast",
                            "parameters": {"damp": 1},
                            "sparsities": {"constant": 0.5},
                        }
                    }
                }
            },
            "catalogue.sample_pruners.x.parameters",
        ),
    ],
)
def test_what_cannot_be_is_one_sentence(problems_of, overlay, found):
    problems = problems_of(overlay)
    assert len(problems) == 1
    assert found in problems[0]


@pytest.mark.parametrize(
    ("levels", "found"),
    [
        # 3 of the levels 0 to 5, evenly spread, are 0, 3 and 5
        ([0, 3], []),
        ([0, 2, 4], ["gradient is explained on the network itself at other levels (2, 4 missing)"]),
    ],
)
def test_what_is_held_against_the_network_is_explained_there(problems_of, levels, found):
    families = {"gradient": {"levels": 3}, "perturbation": {"levels": "all"}}
    problems = problems_of({**chosen(levels=levels), "families": families})
    assert len(problems) == len(found)
    assert all(text in problem for text, problem in zip(found, problems, strict=True))


def test_too_many_images_are_one_sentence_with_the_key_that_gives_them(problems_of):
    (problem,) = problems_of(chosen(images=401))
    assert problem.startswith("sample_pruning.images is 401, but shapes has 400 test images")


def test_sample_pruners_without_an_explainer_are_one_sentence(problems_of):
    (problem,) = problems_of(
        {**chosen(explainers="all"), "explainers": ["mean_activation", "control_edges"]}
    )
    assert problem.startswith("sample_pruning.explainers: none of them looks at the network")


@pytest.mark.parametrize(
    ("search", "found"),
    [
        ({"split": "validation"}, "search.split is validation, which shapes does not have"),
        ({"criterion": "ground_truth"}, "needs masks, but imagenette_64 has none"),
    ],
)
def test_a_search_needs_images_and_perhaps_masks(problems_of, search, found):
    catalogue = {"sample_pruners": {"spade_fast": {"sparsities": {"search": search}}}}
    dataset = "imagenette_64" if "criterion" in search else "shapes"
    overlay = {**SPADE, "datasets": [dataset], "metrics": ["deletion"], "catalogue": catalogue}
    problems = problems_of(overlay)
    assert len(problems) == 1
    assert found in problems[0]


def test_a_job_that_prunes_reserves_what_it_may_use(study_of):
    pruners = {"spade_fast": {"memory_mb": 9000}}
    samples = SampleSettings(study_of({**SPADE, "catalogue": {"sample_pruners": pruners}}))
    assert samples.megabytes("spade_fast") == 9000 + 4000
    assert samples.megabytes("spade_random") == 2000 + 4000


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({}, ""),
        ({"other_sample_pruner": "spade_random"}, ""),
        ({"sample_pruner": "spade_fst"}, "sample_pruner names the unknown sample pruner that runs"),
        ({"explainers": []}, "explainers is [], but must be a list of explainers."),
        ({"explainers": "saliency"}, "explainers is 'saliency', but must be a list of explainers."),
        ({"explainers": ["lime"]}, "explainers names the unknown explainer that runs 'lime'"),
        ({"explainers": [["saliency"]]}, "explainers"),
        ({"level": 99}, "level is 99, but magnitude has the levels 0 to"),
    ],
    ids=str,
)
def test_a_claim_about_copies_names_what_explains_them(problems_of, change, words):
    claim = {
        **{"name": "gain", "claim": "It gains.", "test": "between_copies", "pruner": "magnitude"},
        **{"sample_pruner": "spade_fast", "explainers": ["saliency"], "metric": "pixel_roc_auc"},
        **{"published": 0.05, **change},
    }
    found = problems_of({**SPADE, "claims": [claim]})
    assert found == [] if not words else found[0].startswith(f"claims[0].{words}")


def test_explainers_that_are_held_against_each_other_explain_the_same_images(problems_of):
    claim = {
        **{"name": "gain", "claim": "It gains.", "test": "between_explainers"},
        **{"pruner": "magnitude", "explainer": "spade_fast__saliency", "metric": "pixel_roc_auc"},
        **{"other_explainer": "saliency", "published": 0.05},
    }
    (problem,) = problems_of({**SPADE, "claims": [claim]})
    assert "spade_fast__saliency and saliency cannot be paired" in problem
    gradient = {**SPADE["families"]["gradient"], "images": 10}
    images = {"families": {**SPADE["families"], "gradient": gradient}}
    assert problems_of({**SPADE, **images, "claims": [claim]}) == []
