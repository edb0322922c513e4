"""A job's settings hold what it uses and nothing else: which jobs a change of a value reaches."""

import json
from functools import partial
from itertools import product

import pytest

from sparsight.metrics import registry
from sparsight.study.configuration import normalise
from sparsight.study.labels import study_labels
from sparsight.study.plan import DENSE
from sparsight.study.settings import FigureSettings, RuleSettings, TableSettings

PRUNERS = {
    "densities": {"criterion": "magnitude", "densities": [0.9, 0.5, 0.1]},
    "rewound": {"criterion": "random", "rate": 0.5, "levels": 2, "rewind": "epoch:2"},
}
COMPLEXITY = {"method": "quantus.Complexity", "parameters": {"abs": True}}
# Without labels of their own, what figures call them would change with their parameters.
LABELS = {
    "metrics": {"complexity": {**COMPLEXITY, "label": "complexity"}},
    "explainers": {"integrated_gradients": {"label": "integrated gradients"}},
    "agreement": {"top_k_iou": {"label": "top-k IoU"}},
}
CLAIM = {
    "name": "same_course",
    "claim": "It is so.",
    "test": "correlation",
    "pruner": "magnitude",
    "explainer": "saliency",
    "metric": "soft_iou",
    "published": 0.96,
}
BASE = {
    "datasets": ["digits"],
    "models": ["thesis_cnn"],
    "pruners": ["magnitude", "densities", "rewound"],
    "seeds": [1, 2],
    "explainers": ["grad_cam_conv2", "saliency", "integrated_gradients", "control_edges"],
    "metrics": ["soft_iou", "complexity"],
    "agreement": ["spearman", "top_k_iou", "ssim"],
    "claims": [CLAIM],
    "families": {"gradient": {"images": 100, "levels": "all"}},
    "catalogue": {"pruners": PRUNERS, **LABELS},
}
NETWORKS = {"start", "epoch_point", "dense", "level"}
#: jobs that list all explainers, because tables or figures keep their order
LISTING = {"metric_figure", "agreement_figure", "correlation_figure", "sheet"}
#: jobs that know the study's explainers and metrics, because files of scores may hold others too
CHOOSING = {"summary", "resampling", "step_curves"}


def named(items):
    """Kind and name of each item."""
    return {f"{item.kind} {item.name}" for item in items}


def with_entries(get, entries):
    """What a job gets: the settings of its whole file, and those of its entries."""
    return lambda *wildcards: {**get(*wildcards), **entries.groups}


def jobs_of(study):
    """Every job's name to its settings and items; the wildcards follow in the name."""
    rules, tables, drawn = RuleSettings(study), TableSettings(study), FigureSettings(study)
    found = {}

    def add(name, get, modules, *wildcards):
        found[":".join(map(str, (name, *wildcards)))] = (normalise(get(*wildcards)), modules)

    for dataset in study.config["datasets"]:
        add("fetching", rules.fetching, rules.dataset_items(dataset), dataset)
        add("packing", rules.packing, rules.dataset_items(dataset), dataset)
        for model in study.config["models"]:
            place = (dataset, model)
            for name in ("start", "epoch_point", "dense"):
                add(name, getattr(rules, name), rules.network_items(model), *place)
            for pruner in study.config["pruners"]:
                modules = rules.network_items(model, pruner)
                for level in range(1, study.level_count(pruner) + 1):
                    add("level", rules.level, modules, *place, pruner, level)
            add_figures(add, drawn, study, *place)
    for place in study.places():
        for family in study.agreement_families():
            if study.explains(family, place.pruner, place.level) and study.references(place):
                level = (place.dataset, place.model, str(place.seed), place.pruner, place.level)
                entries = rules.compare_entries(family, place.dataset, place.model)
                get = with_entries(rules.compare, entries)
                add("compare", get, rules.compare_items(), *level, family)
    for chain in study.chains():
        network = (chain.dataset, chain.model, str(chain.seed))
        add("resampling", tables.resampling, [], *network, chain.pruner)
    for dataset, model in product(study.config["datasets"], study.config["models"]):
        for family in study.families():
            free = family in study.network_free_families()
            modules = rules.explain_items(family, dataset, None if free else model)
            place = {"dataset": dataset, "model": None if free else model}
            entries = rules.explain_entries(family, **place)
            get = with_entries(partial(rules.explain, **place), entries)
            add("explain", get, modules, family)
            modules = rules.score_items(family, dataset, model)
            entries = rules.score_entries(family, dataset, model)
            get = with_entries(partial(rules.score, dataset=dataset, model=model), entries)
            add("score", get, modules, family)
        add("sheet", partial(drawn.sheet, dataset, model), [])
    for name in ("summary", "contrasts", "agreement", "step_curves", "costs", "whole"):
        add(name, getattr(tables, name), [])
    add("claims", tables.claims, tables.claim_items())
    return found


def add_figures(add, drawn, study, dataset, model):
    """The figures of one network."""
    add("accuracy_figure", drawn.accuracy, [], dataset, model)
    add("correlation_figure", drawn.correlations, [], dataset, model)
    for metric in study.config["metrics"]:
        add("metric_figure", drawn.metric, [], dataset, model, metric)
    for metric in TableSettings(study).step_metrics():
        add("step_figure", drawn.step_curves, [], dataset, model, metric)
    for metric in study.config["agreement"]:
        add("agreement_figure", drawn.agreement, [], dataset, model, metric)


@pytest.fixture
def jobs(study_of):
    """Function from a change of the configuration to the jobs before and after it."""

    def compare(*overlays):
        before = after = BASE
        for overlay in overlays:
            after = _merged(after, overlay)
        return jobs_of(study_of(before)), jobs_of(study_of(after))

    return compare


def _merged(below, above):
    if not (isinstance(below, dict) and isinstance(above, dict)):
        return above
    return {**below, **{key: _merged(below.get(key), above[key]) for key in above}}


def in_catalogue(group, name, **entry):
    return {"catalogue": {group: {name: entry}}}


def changed(before, after):
    """Names of the jobs in both whose settings or modules differ."""
    return {name for name in before.keys() & after.keys() if before[name] != after[name]}


def rules_of(names):
    return {name.partition(":")[0] for name in names}


def levels(pruner, *which):
    return {f"level:digits:thesis_cnn:{pruner}:{level}" for level in which}


def comparisons(pruner, *which, families=("cam", "gradient")):
    """Comparisons of a pruner's levels with dense, of both seeds."""
    return {
        f"compare:digits:thesis_cnn:{seed}:{pruner}:{level}:{family}"
        for seed in (1, 2)
        for level in which
        for family in families
    }


def all_comparisons(*families):
    """Comparisons of every network of the base."""
    last = {"dense": 0, "magnitude": 5, "densities": 3, "rewound": 2}
    return {
        name
        for pruner, level in last.items()
        for name in comparisons(pruner, *range(min(1, level), level + 1), families=families)
    }


def chains(*pruners):
    """Resamplings of the pruners' chains, of both seeds."""
    return {f"resampling:digits:thesis_cnn:{s}:{pruner}" for s in (1, 2) for pruner in pruners}


def test_the_jobs_of_the_base(jobs):
    before, after = jobs()
    assert before == after
    assert len([name for name in before if name.startswith("level:")]) == 5 + 3 + 2
    assert {name for name in before if name.startswith("explain:")} == {
        "explain:cam",
        "explain:gradient",
        "explain:controls",
    }
    compared = {name for name in before if name.startswith("compare:")}
    # two seeds; dense and ten levels; two families
    assert compared == all_comparisons("cam", "gradient")
    assert len(compared) == 2 * 11 * 2
    resampled = {name for name in before if name.startswith("resampling:")}
    assert resampled == chains("magnitude", "densities", "rewound")


def test_a_new_level_changes_no_other(jobs):
    before, after = jobs(in_catalogue("pruners", "magnitude", levels=6))
    assert after.keys() - before.keys() == levels("magnitude", 6) | comparisons("magnitude", 6)
    assert changed(before, after) == chains("magnitude") | {"claims", "whole"}
    assert all("levels" not in json.dumps(after[name][0]) for name in levels("magnitude", 1, 6))


def test_a_new_density_changes_no_other(jobs):
    before, after = jobs(in_catalogue("pruners", "densities", densities=[0.9, 0.5, 0.1, 0.05]))
    assert after.keys() - before.keys() == levels("densities", 4) | comparisons("densities", 4)
    assert changed(before, after) == chains("densities") | {"whole"}


def test_a_changed_density_changes_its_level(jobs):
    before, after = jobs(in_catalogue("pruners", "densities", densities=[0.9, 0.4, 0.1]))
    assert changed(before, after) == levels("densities", 2) | {"whole"}
    assert [after[name][0]["density"] for name in sorted(levels("densities", 1, 2, 3))] == [
        0.9,
        0.4,
        0.1,
    ]


@pytest.mark.parametrize(
    "change",
    [
        {"rate": 0.4},
        {"scope": "layer"},
        {"criterion": "random"},
        {"rewind": "init"},
        {"published_bugs": ["openlth_threshold"]},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_pruner_changes_its_levels_only(jobs, change):
    before, after = jobs(in_catalogue("pruners", "magnitude", **change))
    assert changed(before, after) == levels("magnitude", 1, 2, 3, 4, 5) | {"whole"}


def test_a_recipe_of_a_pruner_takes_the_place_of_the_models(jobs):
    recipe = {"epochs": 3, "batch_size": 8, "optimiser": {"name": "sgd", "learning_rate": 0.1}}
    before, after = jobs(in_catalogue("pruners", "densities", retraining=recipe))
    assert changed(before, after) == levels("densities", 1, 2, 3) | {"whole"}
    (name,) = levels("densities", 1)
    assert after[name][0]["retraining"]["epochs"] == 3
    assert after["dense:digits:thesis_cnn"][0]["retraining"]["epochs"] == 10


def test_the_criterion_is_code_of_levels_and_not_of_dense(jobs):
    _, after = jobs()
    (name,) = levels("rewound", 1)
    assert named(after[name][1]) == {"architecture thesis_cnn", "criterion random"}
    assert named(after["dense:digits:thesis_cnn"][1]) == {"architecture thesis_cnn"}


def test_dense_takes_no_module_of_a_pruner(study_of):
    rules = RuleSettings(study_of(BASE))
    assert rules.network_items("thesis_cnn", DENSE) == rules.network_items("thesis_cnn")


EXPLAINED = {
    f"{rule}:{f}" for rule in ("explain", "score") for f in ("cam", "gradient", "controls")
}
#: jobs that know how intervals are made; figures know the confidence only
STATISTICS = chains("magnitude", "densities", "rewound") | {"contrasts", "agreement"}
CHANGES = {
    "label": (
        in_catalogue("metrics", "complexity", label="renamed"),
        {"metric_figure:digits:thesis_cnn:complexity", "correlation_figure:digits:thesis_cnn"},
    ),
    "metric": (
        in_catalogue("metrics", "complexity", parameters={"abs": False}),
        {"score:cam", "score:gradient", "score:controls"},
    ),
    "parameter of an explainer": (
        in_catalogue("explainers", "integrated_gradients", parameters={"n_steps": 9}),
        {"explain:gradient", "score:gradient"} | all_comparisons("gradient"),
    ),
    "metric of agreement": (
        in_catalogue("agreement", "top_k_iou", parameters={"share": 0.2}),
        all_comparisons("cam", "gradient"),
    ),
    "batch size of a family": (
        {"families": {"cam": {"batch_size": 7}}},
        {"explain:cam", "score:cam"} | all_comparisons("cam"),
    ),
    # which images were explained is in the file that is scored
    "images of a family": ({"families": {"cam": {"images": 7}}}, {"explain:cam"}),
    # figures say how many they are
    "images": (
        {"explaining": {"images": 60}},
        {"explain:cam", "explain:controls", "correlation_figure:digits:thesis_cnn"}
        | {f"metric_figure:digits:thesis_cnn:{metric}" for metric in BASE["metrics"]}
        | {
            f"agreement_figure:digits:thesis_cnn:{metric}"
            for metric in ("ssim", "spearman", "top_k_iou")
        },
    ),
    "target": (
        {"explaining": {"target": True}},
        EXPLAINED | all_comparisons("cam", "gradient"),
    ),
    "target of a family": (
        {"families": {"cam": {"target": True}}},
        {"explain:cam", "score:cam"} | all_comparisons("cam"),
    ),
    "conditions": (
        {"explaining": {"conditions": ["clean"]}},
        EXPLAINED | all_comparisons("cam", "gradient") | {"sheet", "claims"},
    ),
    "replicates": ({"statistics": {"replicates": 100}}, STATISTICS),
    "seed of the bootstrap": ({"statistics": {"bootstrap_seed": 1}}, STATISTICS),
    "density floor": ({"statistics": {"density_floor": 0.1}}, STATISTICS),
    "headline metrics": ({"figures": {"headline_metrics": ["complexity"]}}, set()),
    "text of a claim": ({"claims": [{**CLAIM, "claim": "It is not so."}]}, {"claims"}),
    "test of a claim": ({"claims": [{**CLAIM, "test": "correct_minus_incorrect"}]}, {"claims"}),
    "sheet's images": ({"figures": {"sheet_images": 2}}, {"sheet"}),
    "sheet's levels": ({"figures": {"sheet_levels": 2}}, set()),
    "disk budget": ({"disk_budget_gb": 1}, set()),
    "data folder": ({"data_folder": "elsewhere"}, {"fetching:digits"}),
    "subset": (in_catalogue("datasets", "digits", subset_seed=1), {"packing:digits"}),
    "seed of the noise": (
        in_catalogue("datasets", "digits", noise={"seed": 1}),
        {"packing:digits"},
    ),
    "split": (
        in_catalogue("datasets", "digits", options={"split": {"seed": 1}}),
        {"fetching:digits", "packing:digits"},
    ),
    "pretraining": (
        in_catalogue("models", "thesis_cnn", training={"epochs": 9}),
        {"start:digits:thesis_cnn"},
    ),
}


@pytest.mark.parametrize(("overlay", "expected"), CHANGES.values(), ids=CHANGES)
def test_a_change_reaches_those_who_use_it(jobs, overlay, expected):
    before, after = jobs(overlay)
    # the study's provenance records the whole configuration
    assert changed(before, after) == expected | {"whole"}
    assert before.keys() == after.keys()


def test_a_new_seed_is_compared_with_the_others(jobs):
    before, after = jobs({"seeds": [1, 2, 3]})
    assert changed(before, after) == comparisons("dense", 0) | {"claims", "whole"}
    new = {name for name in after if ":thesis_cnn:3:" in name}
    assert after.keys() - before.keys() == new
    assert rules_of(new) == {"compare", "resampling"}


@pytest.mark.parametrize("levels_", [[0, 5], [0, 1]])
def test_the_choice_of_levels_changes_no_job(jobs, levels_):
    before, after = jobs({"explaining": {"levels": levels_}})
    assert changed(before, after) == {"whole"}
    assert rules_of(before.keys() - after.keys()) == {"compare"}
    assert after.keys() <= before.keys()


def test_without_maps_of_dense_a_family_is_not_compared(jobs):
    before, after = jobs({"families": {"cam": {"levels": [1, 5]}}})
    assert changed(before, after) == {"whole"}
    assert before.keys() - after.keys() == all_comparisons("cam")


def test_confidence_reaches_tables_and_figures_with_intervals(jobs):
    before, after = jobs({"statistics": {"confidence": 0.9}})
    drawn = {"metric_figure", "agreement_figure", "correlation_figure"}
    assert changed(before, after) == STATISTICS | {"claims", "step_curves", "whole"} | {
        name for name in before if name.partition(":")[0] in drawn
    }


@pytest.mark.parametrize(
    ("overlay", "expected"),
    [
        (in_catalogue("datasets", "digits", noise={"maximum": 9}), NETWORKS | {"packing"}),
        (in_catalogue("models", "thesis_cnn", retraining={"batch_size": 9}), NETWORKS - {"start"}),
        (in_catalogue("models", "thesis_cnn", evaluation_batch_size=9), {"dense", "level"}),
        ({"torch_threads": 2}, NETWORKS | {"explain", "score", "compare"}),
    ],
    ids=["noise", "retraining", "evaluation", "threads"],
)
def test_a_change_of_all_networks_reaches_every_one(jobs, overlay, expected):
    before, after = jobs(overlay)
    assert changed(before, after) == {n for n in before if n.partition(":")[0] in expected} | {
        "whole"
    }


def test_a_metric_touches_scores_and_figures(jobs):
    before, after = jobs({"metrics": ["soft_iou", "complexity", "gini_sparseness"]})
    assert rules_of(changed(before, after)) == {"score", "correlation_figure", "whole", *CHOOSING}
    assert after.keys() - before.keys() == {"metric_figure:digits:thesis_cnn:gini_sparseness"}


def test_a_metric_with_steps_has_a_table_and_a_figure_of_them(study_of):
    foreign = {"method": "quantus.PixelFlipping", "reducer": "last"}
    overlay = {
        "metrics": ["deletion", "soft_iou", "flipping"],
        "catalogue": {**BASE["catalogue"], "metrics": {"flipping": foreign}},
    }
    study = study_of(_merged(BASE, {**overlay, "claims": []}))
    tables, drawn = TableSettings(study), FigureSettings(study)
    assert tables.step_metrics() == ["deletion", "flipping"]
    assert tables.step_curves() == {
        "metrics": ["deletion", "flipping"],
        "controls": ["control_edges"],
        "confidence": 0.95,
        "entries": tables.entries(),
    }
    found = drawn.step_curves("digits", "thesis_cnn", "deletion")
    assert found["metric"] == "deletion"
    assert found["pruners"] == ["magnitude", "densities", "rewound"]
    facts = found["metrics"]["deletion"]
    assert facts["step_axis"] == "pixels removed, %"
    assert (facts["direction"], facts["reducer"]) == ("lower", "area")
    facts = drawn.step_curves("digits", "thesis_cnn", "flipping")["metrics"]["flipping"]
    assert (facts["step_axis"], facts["direction"], facts["reducer"]) == ("", "lower", "last")
    assert TableSettings(study_of(BASE)).step_metrics() == []


def test_a_metric_with_steps_touches_their_table_and_no_other_figure(jobs):
    steps = in_catalogue("metrics", "flip", method="deletion")
    before, after = jobs({**steps, "metrics": ["soft_iou", "complexity", "flip"]})
    reached = {"score", "correlation_figure", "whole", "step_curves", "summary", "resampling"}
    assert rules_of(changed(before, after)) == reached
    new = {f"{kind}_figure:digits:thesis_cnn:flip" for kind in ("metric", "step")}
    assert after.keys() - before.keys() == new


def test_an_explainer_changes_its_family_only(jobs):
    before, after = jobs({"explainers": [*BASE["explainers"], "grad_cam_pp_pool2"]})
    own = {"explain:cam", "score:cam", "whole"} | all_comparisons("cam")
    listing = {
        name for name in before if name.partition(":")[0] in LISTING | CHOOSING | {"agreement"}
    }
    assert changed(before, after) == own | listing


def test_a_family_of_its_own_changes_no_other(jobs):
    new = {"family": "new", "method": "captum.Deconvolution"}
    before, after = jobs(
        {"explainers": [*BASE["explainers"], "new"], "catalogue": {"explainers": {"new": new}}}
    )
    assert after.keys() - before.keys() == {"explain:new", "score:new"} | all_comparisons("new")
    assert rules_of(changed(before, after)) == LISTING | CHOOSING | {"agreement", "whole"}


def test_a_control_counts_in_correlations(jobs):
    before, after = jobs({"explainers": [*BASE["explainers"], "control_input"]})
    found = changed(before, after)
    listing = {
        name for name in before if name.partition(":")[0] in LISTING | CHOOSING | {"agreement"}
    }
    # controls do not count in corrections, so every table of tests knows them; claims name theirs
    tables = {"contrasts", "agreement", "step_curves", "whole"}
    assert found == {"explain:controls", "score:controls"} | tables | listing


@pytest.mark.parametrize(
    "overlay",
    [
        in_catalogue("explainers", "grad_cam_pp_conv2", parameters={"layer": "conv1"}),
        in_catalogue("metrics", "new", method="soft_iou"),
        in_catalogue("pruners", "retrain", levels=9),
        in_catalogue("datasets", "mnist", subset_seed=9),
        in_catalogue("pruners", "magnitude", rewind="pretrained", levels=5.0, schedule="iterative"),
        # exceptions that say what holds anyway
        in_catalogue("explainers", "saliency", parameters={}),
        in_catalogue("models", "thesis_cnn", training={"epochs": 10.0}),
    ],
    ids=json.dumps,
)
def test_what_does_not_run_or_does_not_change_reaches_nothing(jobs, overlay):
    before, after = jobs(overlay)
    assert changed(before, after) == set()
    assert before.keys() == after.keys()


def test_what_a_chosen_order_is_worth(jobs):
    """Tables and figures keep the order of the lists; no training, explaining or scoring does."""
    before, after = jobs({"pruners": BASE["pruners"][::-1], "metrics": BASE["metrics"][::-1]})
    reached = rules_of(changed(before, after))
    assert reached == {
        "whole",
        "accuracy_figure",
        "correlation_figure",
        "metric_figure",
        "agreement_figure",
    }


def test_modules_of_scores_are_those_of_the_metrics_and_the_model(study_of):
    rules = RuleSettings(study_of(BASE))
    assert named(rules.score_items("cam", "digits", "thesis_cnn")) == {
        "metric soft_iou",
        "metric quantus.Complexity",
        "architecture thesis_cnn",
    }


def test_jobs_of_a_network_know_its_own_explainers_only(study_of):
    networks = [
        {"dataset": "digits", "model": "thesis_cnn", "explainers": ["grad_cam_conv2"]},
        {"dataset": "mnist", "model": "thesis_cnn", "explainers": ["grad_cam_pp_pool2"]},
    ]
    chosen = {"explainers": ["grad_cam_conv2", "grad_cam_pp_pool2"], "claims": []}
    study = study_of(
        {**chosen, "datasets": ["digits", "mnist"], "models": ["thesis_cnn"], "networks": networks}
    )
    rules, drawn = RuleSettings(study), FigureSettings(study)
    for network in networks:
        place = (network["dataset"], "thesis_cnn")
        for get in (rules.explain_entries, rules.score_entries, rules.compare_entries):
            assert list(get("cam", *place).groups["explainers"]) == network["explainers"]
        assert drawn.sheet(*place)["explainers"] == network["explainers"]
        assert drawn.correlations(*place)["families"] == {"cam": network["explainers"]}


def test_explainers_that_a_metric_calls_are_code_of_its_scores(study_of):
    entry = {"method": "quantus.MaxSensitivity"}
    chosen = {"metrics": ["new"], "claims": []}
    study = study_of(_merged(BASE, {**chosen, **in_catalogue("metrics", "new", **entry)}))
    found = named(RuleSettings(study).score_items("cam", "digits", "thesis_cnn"))
    assert "explainer grad_cam" in found
    assert "explainer saliency" not in found


def test_foreign_metrics_say_which_direction_is_better(study_of):
    facts = TableSettings(study_of(BASE)).metric_facts()
    assert facts["complexity"] == {"direction": "lower", "unit": "as defined by quantus"}
    assert facts["soft_iou"]["direction"] == "higher"


def test_settings_are_plain_and_do_not_share_the_configuration(study_of):
    study = study_of(BASE)
    before = json.dumps(study.config)
    for settings, _ in jobs_of(study).values():
        assert json.loads(json.dumps(settings)) == settings
    rules = RuleSettings(study)
    rules.packing("digits").clear()
    rules.score_entries("cam", "digits", "thesis_cnn").groups["metrics"].clear()
    assert json.dumps(study.config) == before


def test_the_whole_holds_what_is_chosen_and_no_more(study_of):
    whole = TableSettings(study_of(BASE)).whole()
    chosen = {"agreement": ["spearman", "top_k_iou", "ssim"], "concepts": [], **BASE}
    groups = ("datasets", "models", "pruners", "explainers", "metrics", "agreement", "concepts")
    assert {group: list(entries) for group, entries in whole["catalogue"].items()} == {
        group: chosen[group] for group in groups
    }
    assert whole["seeds"] == [1, 2]
    assert whole["catalogue"]["pruners"]["densities"]["densities"] == [0.9, 0.5, 0.1]


STATISTICS_BLOCK = {
    "statistics": {
        "replicates": 1000,
        "bootstrap_seed": 0,
        "confidence": 0.95,
        "density_floor": 0.02,
    }
}
WITH_FLOOR = {**BASE, "pruners": [*BASE["pruners"], "retrain"]}


def test_settings_of_tables(study_of):
    study = study_of(WITH_FLOOR)
    tables = TableSettings(study)
    contrasts = {**STATISTICS_BLOCK, "controls": ["control_edges"]}
    assert tables.contrasts() == contrasts
    entries = {
        "digits/thesis_cnn": {
            "explainers": sorted(study.config["explainers"]),
            "metrics": sorted(study.config["agreement"]),
        }
    }
    assert tables.agreement() == {**contrasts, "retrain": ["retrain"], "entries": entries}
    for pruner, levels_ in (("magnitude", range(6)), ("rewound", range(3)), ("retrain", range(2))):
        assert tables.resampling("digits", "thesis_cnn", "1", pruner) == {
            **STATISTICS_BLOCK,
            "entries": tables.entries(),
            "levels": list(levels_),
            "reducers": {},
            "study": study.name,
        }
    # a claim is about the first data set, model and condition unless it says otherwise
    place = {"dataset": "digits", "model": "thesis_cnn", "condition": "noisy"}
    found = tables.claims()
    checkpoints = found.pop("checkpoints")
    assert found == {
        "statistics": {"confidence": 0.95},
        "claims": [{**place, **CLAIM, "subset": "all"}],
        "copies": {},
        "reducers": {},
        "look": 0,
        "looks": [],
        "study": study.name,
    }
    # of the claim's pruner and dense, and of no other
    places = {("dense", 0), *((CLAIM["pruner"], level) for level in range(1, 6))}
    wanted = [["digits", "thesis_cnn", *place[:1], 1, place[1]] for place in sorted(places)]
    assert [place for place in checkpoints if place[3] == 1] == wanted
    assert named(tables.claim_items()) == {"claim test correlation"}
    whole = {"split": "test", "reducers": {}, "entries": tables.entries()}
    assert tables.summary() == whole
    place = "benchmarks/{rule}/{dataset}__{model}__seed{seed}__"
    # the longest first: the shorter ones would take a family for a part of the level
    assert tables.costs()["study"] == study.name
    patterns = tables.costs()["patterns"]
    ends = ["{pruner}__level{level}__{family}", "{pruner}__level{level}", "start", "{pruner}"]
    expected = [f"{place}{end}.jsonl" for end in ends]
    assert [pattern for pattern in patterns if pattern in expected] == expected


def test_a_claim_says_itself_what_it_is_about(study_of):
    both = {"explaining": {"conditions": ["clean", "noisy"]}}
    claim = {**CLAIM, "condition": "noisy", "subset": "hard"}
    (found,) = TableSettings(study_of(_merged(BASE, {**both, "claims": [claim]}))).claims()[
        "claims"
    ]
    assert (found["condition"], found["subset"]) == ("noisy", "hard")
    (found,) = TableSettings(study_of(_merged(BASE, both))).claims()["claims"]
    assert (found["condition"], found["subset"]) == ("clean", "all")


def test_settings_of_figures(study_of):
    drawn = FigureSettings(study_of(WITH_FLOOR))
    network = {
        "dataset": "digits",
        "model": "thesis_cnn",
        # retrained networks make no curve, they are the floor
        "pruners": BASE["pruners"],
        "retrain": ["retrain"],
    }
    explained = {
        **network,
        "controls": ["control_edges"],
        "explainers": BASE["explainers"],
        "families": {
            "cam": ["grad_cam_conv2"],
            "gradient": ["saliency", "integrated_gradients"],
            "controls": ["control_edges"],
        },
        "confidence": 0.95,
        "test_images": drawn.config["explaining"]["images"],
    }
    place = ("digits", "thesis_cnn")
    # retrained networks have labels too: floors are drawn
    names = {"dataset": ["digits"], "model": ["thesis_cnn"], "pruner": WITH_FLOOR["pruners"]}

    def labels_of(**more):
        labels = study_labels(drawn.config)
        shown = {**names, **more}
        return {column: {n: labels[column][n] for n in chosen} for column, chosen in shown.items()}

    network["labels"] = labels_of()
    assert drawn.accuracy(*place) == network

    def explained_by(metrics):
        return {
            **explained,
            "labels": labels_of(explainer=BASE["explainers"], metric=metrics),
        }

    assert drawn.metric(*place, "complexity") == {
        **explained_by(["complexity"]),
        "metric": "complexity",
        "metrics": {"complexity": {"direction": "lower", "unit": "as defined by quantus"}},
    }
    assert drawn.agreement(*place, "ssim") == {**explained_by(["ssim"]), "metric": "ssim"}
    expected = {**explained_by(BASE["metrics"]), "metrics": BASE["metrics"]}
    assert drawn.correlations(*place) == expected
    assert drawn.sheet("digits", "thesis_cnn") == {
        "condition": "noisy",
        "images": 4,
        "explainers": BASE["explainers"],
        "labels": labels_of(explainer=BASE["explainers"]),
    }


def test_headline_metrics_are_the_first_unless_they_are_named(study_of):
    study = study_of(BASE)
    assert FigureSettings(study).headline_metrics(study.networks()[0]) == ["soft_iou"]
    named = {"figures": {"headline_metrics": ["complexity", "soft_iou"]}}
    study = study_of(_merged(BASE, named))
    drawn = FigureSettings(study).headline_metrics(study.networks()[0])
    assert drawn == ["complexity", "soft_iou"]


def test_a_network_is_scored_and_drawn_with_metrics_of_its_own(study_of):
    place = ("digits", "thesis_cnn")
    own = {"dataset": place[0], "model": place[1], "metrics": ["complexity"]}
    study = study_of(_merged(BASE, {"networks": [own], "claims": []}))
    network = study.network(*place)
    assert network.metrics == ("complexity",)
    assert list(RuleSettings(study).score_entries("cam", *place).settings) == [
        "grad_cam_conv2/complexity"
    ]
    methods = study.catalogue["metrics"]
    modules = RuleSettings(study).score_items("cam", *place)
    assert registry.METRICS.item(methods["complexity"]["method"]) in modules
    assert registry.METRICS.item(methods["soft_iou"]["method"]) not in modules
    drawn = FigureSettings(study)
    assert drawn.headline_metrics(network) == ["complexity"]
    assert drawn.correlations(*place)["metrics"] == ["complexity"]
    assert drawn.step_metrics(network) == []


def test_settings_of_comparisons(study_of):
    study = study_of(WITH_FLOOR)
    rules = RuleSettings(study)
    place = ("digits", "thesis_cnn")
    found = rules.compare(*place, "2", "rewound", 1, "cam")
    assert rules.compare_entries("cam", *place).groups == {
        "agreement": {
            name: {"method": name, "parameters": study.catalogue["agreement"][name]["parameters"]}
            for name in study.config["agreement"]
        },
        "explainers": {
            "grad_cam_conv2": {
                "family": "cam",
                "method": "grad_cam",
                "parameters": {"layer": "conv2"},
            }
        },
    }
    assert found == {
        "batch_size": 250,
        "conditions": ["noisy"],
        "target": "dense_predicted",
        "threads": 1,
        "study": study.name,
        "references": [{"pruner": "dense", "seed": 2, "level": 0}],
    }
    dense = rules.compare(*place, "2", DENSE, 0, "cam")
    assert dense["references"] == [{"pruner": "dense", "seed": 1, "level": 0}]
    assert named(rules.compare_items()) == {
        "agreement metric spearman",
        "agreement metric top_k_iou",
        "agreement metric ssim",
    }
    assert named(rules.network_items("thesis_cnn")) == {"architecture thesis_cnn"}


def test_settings_of_data_and_networks(study_of):
    study = study_of(BASE)
    rules, entry = RuleSettings(study), study.catalogue["models"]["thesis_cnn"]
    split = {"seed": 0, "test": 500, "validation": 0}
    assert rules.fetching("digits") == {"source": "digits", "split": split, "data_folder": "data"}
    assert rules.packing("digits") == {
        "source": "digits",
        "split": split,
        "noise": {"maximum": 51, "seed": 0},
        "subset_seed": 0,
    }
    assert named(rules.dataset_items("digits")) == {"data source digits"}
    network = {
        "study": study.name,
        "options": {},
        "architecture": "thesis_cnn",
        "noise_maximum": 51,
        "threads": 1,
    }
    place = ("digits", "thesis_cnn")
    assert rules.start(*place) == {**network, "training": entry["training"]}
    assert rules.epoch_point(*place) == {**network, "retraining": entry["retraining"]}
    dense = {**network, "retraining": entry["retraining"], "evaluation_batch_size": 1000}
    assert rules.dense(*place) == dense
    assert rules.level(*place, "rewound", 2) == {
        **dense,
        "criterion": "random",
        "scope": "global",
        "rewind": "epoch:2",
        "published_bugs": [],
        "rate": 0.5,
        "density": None,
    }
