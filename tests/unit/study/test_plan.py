"""What a configuration means, worked out by hand."""

import pytest

from sparsight.study.plan import Place, metric_facts

PRUNERS = {
    "three": {"criterion": "magnitude", "densities": [0.9, 0.5, 0.1]},
    "shots": {"criterion": "magnitude", "densities": [0.9, 0.5, 0.1], "schedule": "one_shot"},
    "two": {"criterion": "random", "rate": 0.5, "levels": 2},
}
SMALL = {
    "datasets": ["digits", "mnist"],
    "models": ["thesis_cnn", "thesis_cnn_digits"],
    "pruners": ["three", "two"],
    "seeds": [7, 5],
    "catalogue": {"pruners": PRUNERS},
}


def test_networks_are_all_combinations_or_those_that_are_named(study_of):
    everything = study_of(SMALL).networks()
    assert [(n.dataset, n.model, n.seeds, n.pruners) for n in everything] == [
        (dataset, model, (7, 5), ("three", "two"))
        for dataset in ("digits", "mnist")
        for model in ("thesis_cnn", "thesis_cnn_digits")
    ]
    named = [
        {"dataset": "mnist", "model": "thesis_cnn", "pruners": ["two"]},
        {"dataset": "digits", "model": "thesis_cnn_digits"},
    ]
    study = study_of({**SMALL, "seeds": [7], "networks": named})
    places = [(p.dataset, p.model, p.pruner, p.level) for p in study.places()]
    assert places == [
        ("mnist", "thesis_cnn", "dense", 0),
        ("mnist", "thesis_cnn", "two", 1),
        ("mnist", "thesis_cnn", "two", 2),
        ("digits", "thesis_cnn_digits", "dense", 0),
        ("digits", "thesis_cnn_digits", "three", 1),
        ("digits", "thesis_cnn_digits", "three", 2),
        ("digits", "thesis_cnn_digits", "three", 3),
        ("digits", "thesis_cnn_digits", "two", 1),
        ("digits", "thesis_cnn_digits", "two", 2),
    ]
    ends = [(c.dataset, c.pruner, c.level) for c in study.chains()]
    assert ends == [("mnist", "two", 2), ("digits", "three", 3), ("digits", "two", 2)]
    assert study.pruning_pruners(study.network("mnist", "thesis_cnn")) == ["two"]


def test_a_network_may_have_seeds_and_explainers_of_its_own(study_of):
    own = {"seeds": [5], "explainers": ["grad_cam_conv2", "control_edges"]}
    study = study_of(
        {
            **SMALL,
            "datasets": ["digits"],
            "explainers": ["grad_cam_conv2", "grad_cam_pp_pool2", "saliency", "control_edges"],
            "networks": [
                {"dataset": "digits", "model": "thesis_cnn"},
                {"dataset": "digits", "model": "thesis_cnn_digits", **own},
            ],
        }
    )
    whole, part = study.networks()
    assert study.families(part) == {"cam": ["grad_cam_conv2"], "controls": ["control_edges"]}
    assert study.families(whole)["cam"] == ["grad_cam_conv2", "grad_cam_pp_pool2"]
    assert list(study.families()) == ["cam", "gradient", "controls"]
    seeds = {(p.model, p.seed) for p in study.places()}
    assert seeds == {("thesis_cnn", 7), ("thesis_cnn", 5), ("thesis_cnn_digits", 5)}
    # a dense network is held against those of its own seeds
    assert study.references(Place("digits", "thesis_cnn_digits", 5, "dense", 0)) == []
    assert study.references(Place("digits", "thesis_cnn", 5, "dense", 0)) == [
        Place("digits", "thesis_cnn", 7, "dense", 0)
    ]


def test_places_are_dense_once_per_network_and_every_level(study_of):
    places = list(study_of({**SMALL, "datasets": ["digits"], "models": ["thesis_cnn"]}).places())
    network = [("dense", 0), ("three", 1), ("three", 2), ("three", 3), ("two", 1), ("two", 2)]
    # in the order of the configuration, seeds too
    assert places == [
        Place("digits", "thesis_cnn", seed, pruner, level)
        for seed in (7, 5)
        for pruner, level in network
    ]


def test_a_study_has_its_name(study_of):
    assert study_of({"study": "mine"}).name == "mine"


def test_places_cross_data_sets_models_and_seeds(study_of):
    places = list(study_of(SMALL).places())
    assert len(places) == len(set(places)) == 2 * 2 * 2 * (1 + 3 + 2)
    assert sum(place.pruner == "dense" for place in places) == 2 * 2 * 2


def test_levels_and_predecessors(study_of):
    study = study_of({**SMALL, "pruners": ["three", "shots", "two"]})
    assert [study.level_count(name) for name in PRUNERS] == [3, 3, 2]
    assert [study.predecessor("three", level) for level in (1, 2, 3)] == [0, 1, 2]
    assert [study.predecessor("shots", level) for level in (1, 2, 3)] == [0, 0, 0]
    assert [study.predecessor("two", level) for level in (1, 2)] == [0, 1]


def test_families_hold_what_runs_in_the_order_of_the_configuration(study_of):
    study = study_of(
        {"explainers": ["control_input", "saliency", "grad_cam_conv2", "control_edges"]}
    )
    assert list(study.families().items()) == [
        ("controls", ["control_input", "control_edges"]),
        ("gradient", ["saliency"]),
        ("cam", ["grad_cam_conv2"]),
    ]
    assert study.controls() == ["control_input", "control_edges"]
    assert study.network_free_families() == ["controls"]
    assert study.network_families() == ["gradient", "cam"]


def test_foreign_explainers_need_the_network(study_of):
    new = {"family": "new", "method": "captum.Deconvolution"}
    study = study_of({"explainers": ["new"], "catalogue": {"explainers": {"new": new}}})
    assert study.controls() == study.network_free_families() == []


def test_a_family_is_explained_where_its_exceptions_say(study_of):
    study = study_of(
        {
            "explaining": {"levels": [0, 2, 5], "images": 50},
            "families": {"gradient": {"levels": "all"}, "cam": {"levels": [5], "images": "all"}},
        }
    )
    explained = {
        family: [level for level in range(6) if study.explains(family, "magnitude", level)]
        for family in ("cam", "gradient", "controls")
    }
    assert explained == {"cam": [5], "gradient": [0, 1, 2, 3, 4, 5], "controls": [0, 2, 5]}
    assert [study.explaining(f)["images"] for f in ("cam", "gradient", "controls")] == [
        "all",
        50,
        50,
    ]
    assert study.explaining("cam")["target"] == "dense_predicted"


def test_levels_of_a_family_can_be_a_number_spread_over_each_pruner(study_of):
    study = study_of({**SMALL, "families": {"gradient": {"levels": 2}}})
    assert study.explains("gradient", "dense", 0)
    assert [x for x in (1, 2, 3) if study.explains("gradient", "three", x)] == [3]
    assert [x for x in (1, 2) if study.explains("gradient", "two", x)] == [2]


def test_a_control_may_need_the_network(study_of):
    study = study_of({"explainers": ["grad_cam_conv2", "mean_activation_conv2", "control_edges"]})
    assert study.controls() == ["mean_activation_conv2", "control_edges"]
    assert study.network_free_families() == ["controls"]


def test_retrained_networks_are_explained_whatever_the_levels(study_of):
    study = study_of({"explaining": {"levels": [0, 5]}})
    assert study.retraining_pruners() == ["retrain"]
    assert study.pruning_pruners() == ["magnitude"]
    assert study.explains("cam", "retrain", 1)
    assert not study.explains("cam", "magnitude", 1)
    assert not study.explains("cam", "dense", 1)


def test_a_chain_begins_at_dense(study_of):
    study = study_of({"pruners": ["two", "retrain"], "seeds": [7], "catalogue": SMALL["catalogue"]})
    network = ("digits", "thesis_cnn_digits", 7)
    ends = list(study.chains())
    assert ends == [Place(*network, "two", 2), Place(*network, "retrain", 1)]
    assert study.chain(ends[0]) == [
        Place(*network, "dense", 0),
        Place(*network, "two", 1),
        Place(*network, "two", 2),
    ]


def test_explanations_are_compared_with_the_parent_and_between_seeds(study_of):
    study = study_of({"seeds": [7, 5, 6]})
    network = ("digits", "thesis_cnn_digits")
    pruned = Place(*network, 5, "magnitude", 3)
    assert study.references(pruned) == [Place(*network, 5, "dense", 0)]
    assert study.references(Place(*network, 5, "dense", 0)) == [
        Place(*network, 7, "dense", 0),
        Place(*network, 6, "dense", 0),
    ]
    assert study_of({"seeds": [7]}).references(Place(*network, 7, "dense", 0)) == []


def test_families_of_one_fixed_class_are_compared(study_of):
    overlay = {
        "explaining": {"target": "predicted"},
        "families": {"cam": {"target": "true"}, "gradient": {"target": "dense_predicted"}},
    }
    assert study_of(overlay).agreement_families() == ["cam", "gradient"]
    assert study_of({**overlay, "agreement": []}).agreement_families() == []
    # without the dense network's maps there is nothing to compare with
    overlay["families"]["cam"]["levels"] = [1, 2]
    assert study_of(overlay).agreement_families() == ["gradient"]


def test_a_run_says_which_families_are_compared(study_of):
    start = "Agreement will be measured for"
    rest = (
        "that takes explanations of one fixed class (target true or dense_predicted), of the dense "
        "networks too (level 0)."
    )
    explainers = ["grad_cam_conv2", "saliency", "occlusion", "control_edges"]
    study = study_of({"explainers": explainers})
    assert study.agreement_sentence() == f"{start} cam, gradient, perturbation."
    some = {"gradient": {"target": "predicted"}, "perturbation": {"levels": [5]}}
    study = study_of({"explainers": explainers, "families": some})
    assert study.agreement_sentence() == f"{start} cam, not for gradient, perturbation: {rest}"
    study = study_of({"explainers": ["saliency"], "explaining": {"target": "predicted"}})
    assert study.agreement_families() == []
    assert study.agreement_sentence() == f"{start} no family, not for gradient: {rest}"


@pytest.mark.parametrize(
    ("levels", "wanted", "shown"),
    [
        (5, 6, [0, 1, 2, 3, 4, 5]),
        (25, 6, [0, 5, 10, 15, 20, 25]),
        # 0, 6.5, 13, 19.5, 26: halves go up
        (26, 5, [0, 7, 13, 20, 26]),
        (3, 6, [0, 1, 2, 3]),
        (1, 2, [0, 1]),
        (5, [5, 0, 3], [0, 3, 5]),
    ],
)
def test_sheet_levels(study_of, levels, wanted, shown):
    pruner = {"criterion": "magnitude", "rate": 0.1, "levels": levels}
    study = study_of(
        {
            "pruners": ["new"],
            "figures": {"sheet_levels": wanted},
            "catalogue": {"pruners": {"new": pruner}},
        }
    )
    assert study.sheet_levels("new") == shown


def test_a_sheet_shows_levels_that_some_family_is_explained_at(study_of):
    study = study_of(
        {
            "explainers": ["grad_cam_conv2", "saliency", "control_edges"],
            "explaining": {"levels": [0, 1, 2]},
            "families": {"cam": {"levels": [5]}, "gradient": {"levels": [3]}},
        }
    )
    # the controls alone are explained at 0, 1 and 2
    assert study.sheet_levels("magnitude") == [3, 5]


def test_a_pruner_with_fewer_levels_shows_those(study_of):
    study = study_of({**SMALL, "figures": {"sheet_levels": [0, 2, 3]}})
    assert study.sheet_levels("two") == [0, 2]
    assert study.sheet_levels("three") == [0, 2, 3]


def test_facts_of_metrics_without_their_libraries():
    own = metric_facts("soft_iou")
    assert (own["direction"], own["needs"]) == ("higher", ("mask",))
    foreign = metric_facts("quantus.MaxSensitivity")
    assert (foreign["direction"], foreign["needs"]) == ("lower", ("model", "explainer"))
    assert foreign["category"] == "robustness"
    assert metric_facts("quantus.RelevanceMassAccuracy")["needs"] == ("mask",)


def test_how_many_levels_are_explained(study_of):
    overlay = {**SMALL, "explainers": ["grad_cam_conv2", "control_edges"]}
    for levels, count in (([0], 1), ([0, 3], 2), ([0, 2, 3], 3), ("all", 4)):
        study = study_of({**overlay, "pruners": ["three", "two"], "explaining": {"levels": levels}})
        assert {study.explained_levels(n) for n in study.networks()} == {count}, levels


def test_pruners_are_compared_where_two_have_levels_to_read_agreement_off(study_of):
    pruners = {**PRUNERS, "one": {"criterion": "magnitude", "densities": [0.5]}}
    small = {**SMALL, "catalogue": {"pruners": pruners}}

    def compares(**changes):
        study = study_of({**small, **changes})
        return study.compares_pruners(study.networks()[0])

    assert compares()
    assert not compares(agreement=[])
    assert not compares(pruners=["three", "retrain"])
    assert not compares(pruners=["three", "one"])
    # gradients have levels of their own in the default study
    assert compares(explainers=["grad_cam_conv2"])
    assert not compares(explainers=["grad_cam_conv2"], explaining={"levels": [0, 1]})


def test_floors_are_pruners_that_retrain_as_a_pruner_does(study_of):
    pruners = {
        "rewound": {"criterion": "magnitude", "rate": 0.5, "levels": 2, "rewind": "init"},
        "again": {"criterion": "magnitude", "rate": 0, "levels": 2, "rewind": "init"},
        "tuned": {"criterion": "magnitude", "rate": 0.5, "levels": 2, "rewind": "none"},
        "taught": {"criterion": "magnitude", "rate": 0.5, "levels": 2, "rewind": "init",
                   "teacher": "dense"},
    }  # fmt: skip
    study = study_of({**SMALL, "pruners": list(pruners), "catalogue": {"pruners": pruners}})
    assert study.floors() == {"rewound": ["again"], "tuned": [], "taught": []}
