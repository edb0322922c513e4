"""Every claim that cannot be decided as it stands is a sentence before any job starts."""

import pytest

from sparsight.analysis.claims.registry import CLAIMS
from sparsight.study.checks import claim_problems
from sparsight.study.configuration import normalise
from sparsight.study.models import validated

CLAIM = {"name": "a", "claim": "It is so.", "pruner": "magnitude"}
SIZE = {"smallest": 0.01, "because": "No figure shows less."}
CAM = {"explainer": "grad_cam_pp_conv2", "metric": "soft_iou"}
SOUND = {
    "correlation": CAM,
    "no_loss": {"of": "accuracy", "density": 0.02},
    "peak": {**CAM, "between": [1, 3]},
    "value": {"of": "accuracy", "level": 1, "published": 0.9},
    "rise": {**CAM, "at": 2, "later": 4},
    "gain_explained": {**CAM, "matched_metric": "affine_iou", "to_level": 2},
    "correct_minus_incorrect": CAM,
    "between_pruners": {"of": "accuracy", "other_pruner": "retrain", "levels": [1, 1]},
    "at_equal_accuracy": {
        **{"explainer": CAM["explainer"], "of": "soft_iou", "loss": 0.02},
        "other_pruner": "random",
    },
    "between_explainers": {**CAM, "other_explainer": "grad_cam_conv2"},
    "change": {**CAM, "levels": [1, 3], "minus_pruner": "retrain"},
    "drift_foretells_flip": {**CAM, "metric": "spearman", "levels": [1, 4]},
    "concept_change": {"concept": "labels", "measure": "accuracy", "levels": [1, 3]},
    "concept_in_top": {
        **{"concept": "labels", "entry": "red = disc", "class": "red striped disc"},
        "levels": [3, 3],
    },
    "concept_drift_beyond_retraining": {
        **{"concept": "labels", "measure": "jaccard", "levels": [2, 3]},
        **{"expected": "negative", "floor": "retrain"},
    },
}
#: what claims about concepts need
SHAPES = {
    **{"datasets": ["shapes"], "models": ["resnet18_shapes"], "concepts": ["labels", "crops"]},
    "catalogue": {"concepts": {"labels": {"method": "labelled"}, "crops": {"method": "drawn"}}},
}


@pytest.fixture
def problems(overlaid):
    """Function from claims to their problems."""

    def find(*claims, **overlay):
        whole, found = validated(overlaid({"claims": list(claims), **overlay}))
        assert found == []
        return list(claim_problems(normalise(whole)))

    return find


def of(test, **keys):
    return {**CLAIM, "test": test, **SIZE, **SOUND.get(test, {}), **keys}


def without(claim, *keys):
    return {key: value for key, value in claim.items() if key not in keys}


@pytest.mark.usefixtures("concept_methods")
def test_every_test_has_a_sound_claim_and_its_facts(problems):
    # two need other studies: see below, and tests/unit/study/test_sample_pruning.py
    assert sorted([*SOUND, "pooled", "between_copies"]) == CLAIMS.names()
    claims = (of(test, name=f"claim_{i}") for i, test in enumerate(SOUND))
    assert problems(*claims, **SHAPES, pruners=["magnitude", "random", "retrain"]) == []
    for test in CLAIMS.names():
        facts = CLAIMS.facts(test)
        assert facts["name"] == test
        for group in ("allowed", "refers"):
            assert set(facts[group]) <= set(facts["parameters"]), test


def test_a_control_that_looks_at_no_network_is_held_against_a_metric_that_does(problems):
    claim = of("change", metric="road_morf_accuracy", minus_control="control_edges")
    metrics = ["soft_iou", "road_morf_accuracy"]
    assert problems(claim, metrics=metrics) == []
    (found,) = problems({**claim, "metric": "soft_iou"}, metrics=metrics)
    assert "never looks at the network" in found


def test_a_claim_is_about_a_network_that_runs(problems):
    networks = [
        {"dataset": "digits", "model": "thesis_cnn", "explainers": [CAM["explainer"]]},
        {"dataset": "mnist", "model": "thesis_cnn_digits", "pruners": ["retrain"]},
    ]
    study = {
        "datasets": ["digits", "mnist"],
        "models": ["thesis_cnn", "thesis_cnn_digits"],
        "networks": networks,
    }
    assert problems(of("correlation"), **study) == []
    (found,) = problems(of("correlation", model="thesis_cnn_digits"), **study)
    assert "claims[0] is about thesis_cnn_digits on digits, which networks leaves out" in found
    (found,) = problems(of("correlation", explainer="saliency"), **study)
    assert "claims[0].explainer is saliency, which does not run with thesis_cnn on digits" in found
    other = {"dataset": "mnist", "model": "thesis_cnn_digits"}
    (found,) = problems(of("correlation", **other), **study)
    assert "claims[0].pruner is magnitude, which does not run with" in found


def test_claims_of_two_names_alike(problems):
    assert problems(of("correlation"), of("peak")) == [
        "claims: 2 claims have the name 'a'; give each its own."
    ]


@pytest.mark.parametrize(
    ("claim", "words"),
    [
        (of("corelation"), "claims[0].test names the unknown claim test 'corelation'; did you"),
        (of("correlation", pruner="random"), "claims[0].pruner names the unknown pruner that runs"),
        (of("correlation", pruner="retrain"), "retrain, which prunes nothing"),
        (of("correlation", dataset="mnist"), "unknown dataset that runs 'mnist'"),
        (of("correlation", model="thesis_cnn"), "claims[0].model names the unknown model"),
        (of("correlation", explainer="lime"), "unknown explainer that runs 'lime'"),
        (of("correlation", metric="softiou"), "did you mean 'soft_iou'?"),
        (of("correlation", condition="clean"), "unknown condition that runs 'clean'"),
        (
            without(of("correlation"), "explainer"),
            "'explainer' is missing at claims[0]",
        ),
        (
            without(of("correlation"), "pruner"),
            "'pruner' is missing at claims[0]; the test correlation needs it.",
        ),
        (of("correlation", coeficient="pearson"), "unknown parameter 'coeficient'"),
        (of("correlation", coefficient="pearsn"), "coefficient is 'pearsn', but must be one of"),
        (of("correlation", density_floor=1.5), "is 1.5, but must be at least 0 and at most 1."),
        (of("correlation", density_floor="a"), "is 'a', but must be a number"),
        (of("correlation", minus_control="edges"), "unknown explainer that runs 'edges'"),
        (of("correlation", minus_control="control_edges"), "never looks at the network"),
        (of("change", minus_pruner="retrian"), "unknown pruner that runs 'retrian'; did you mean"),
        (
            of("change", explainer="saliency", levels=[1, 3]),
            "claims[0].levels takes in level 1, at which saliency is not explained",
        ),
        (
            of("between_pruners", levels=[1, 2]),
            "claims[0].levels is [1, 2], but retrain has the levels 0 to 1.",
        ),
        (of("change", levels=[0, 0]), "dense against itself"),
        (of("change", levels=[3, 1]), "a list of two levels, the lower one first"),
        (of("no_loss", margin=0.1), "unknown parameter 'margin'"),
        (
            {**without(of("no_loss"), *SIZE), "published": 0.0},
            "'smallest' is missing at claims[0]; the test no_loss needs it.",
        ),
        (of("no_loss", of="acuracy"), "unknown measure that runs 'acuracy'; did you mean"),
        (of("no_loss", of="soft_iou"), "claims[0].of is the metric soft_iou; say of which"),
        (of("no_loss", of="entropy", explainer="saliency"), "of which more is not better"),
        (of("peak", between=[3, 1]), "must be a list of two levels, the lower one first"),
        (of("peak", between=[1]), "must be a list of two levels"),
        (of("peak", between=[1, 9]), "magnitude has the levels 0 to 5"),
        (of("rise", at=6), "claims[0].at is 6, but magnitude has the levels 0 to 5."),
        (of("rise", at=2.5), "claims[0].at is 2.5, but"),
        (of("rise", explainer="saliency"), "claims[0].at takes in level 2, at which"),
        (of("rise", explainer="saliency", at=3), "claims[0].later takes in level 4, at which"),
        (of("gain_explained", matched_metric="iou"), "unknown metric that runs 'iou'"),
        (
            of("gain_explained", share=2),
            "claims[0].share is 2, but must be at least 0 and at most 1.",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_wrong_is_said_in_one_sentence(problems, claim, words):
    found = problems(claim, families={"perturbation": {"levels": [0, 3]}})
    assert len(found) >= 1
    assert words in found[0]
    assert all(sentence.endswith((".", "?")) and len(sentence) <= 280 for sentence in found)


def test_all_problems_of_all_claims_at_once(problems):
    found = problems(of("rise", at=9, later=8), of("correlation", name="b", metric="x"))
    assert [sentence.partition(" ")[0] for sentence in found] == [
        "claims[0].at",
        "claims[0].later",
        "claims[1].metric",
    ]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"name": "A b"}, "claims[0].name"),
        ({"subset": "some"}, "claims[0].subset"),
        ({"published": "high"}, "claims[0].published"),
        ({"levels": {"a": 1}}, "claims[0]: the key 'levels'"),
        ({"pruner": None}, "claims[0].pruner"),
        ({"smallest": 0}, "claims[0].smallest"),
        ({"smallest": True}, "claims[0].smallest"),
        ({"because": ""}, "claims[0].because"),
        ({"tier": "first"}, "claims[0].tier"),
        ({"after": 3}, "claims[0].after"),
    ],
)
def test_the_models_hold_the_common_keys(overlaid, change, words):
    config = overlaid({"claims": [{**of("correlation"), **change}]})
    assert words in validated(config)[1][0]


TWO = [
    {"dataset": "digits", "model": "thesis_cnn_digits"},
    {"dataset": "mnist", "model": "thesis_cnn"},
]


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["a", "b"], ""),
        (["a"], "claims[3].of is ['a'], but must be a list of two claims or more"),
        (["a", "a"], "claims[3].of is ['a', 'a'], but must be"),
        ("a", "claims[3].of is 'a', but must be a list"),
        ([["a"], "b"], "claims[3].of is [['a'], 'b'], but must be"),
        (["a", "bb"], "claims[3].of names the unknown claim 'bb'; did you mean 'b'?"),
        (["a", "both"], "claims[3].of names the unknown claim 'both'"),
        (["a", "c"], "claims[3].of names claims of the tests no_loss, value; pool those of one."),
    ],
    ids=str,
)
def test_pooled_claims_are_of_one_test_and_of_several_networks(problems, names, words):
    study = {
        "datasets": ["digits", "mnist"],
        "models": ["thesis_cnn_digits", "thesis_cnn"],
        "networks": TWO,
    }
    claims = [
        of("no_loss", **TWO[0]),
        of("no_loss", name="b", **TWO[1]),
        of("value", name="c", **TWO[1]),
        {**without(CLAIM, "pruner"), **SIZE, "name": "both", "test": "pooled", "of": names},
    ]
    found = problems(*claims, **study)
    assert found == [] if not words else found[0].startswith(words)
    claims[1] |= TWO[0]
    if not words:
        (same,) = problems(*claims, **study)
        assert same.startswith("claims[3].of names claims about one data set and model")


@pytest.mark.parametrize(
    ("claim", "words"),
    [
        (without(of("value"), "published"), "'published' is missing at claims[0]"),
        (without(of("value"), "smallest", "because"), "'smallest' is missing at claims[0]"),
        (of("value", published=1.5), "claims[0].published is 1.5, but the quantity of 'a' lies"),
        (of("value", level=9), "claims[0].level is 9, but magnitude has the levels 0 to 5."),
        (of("value", of="soft_iou"), "claims[0].of is the metric soft_iou; say of which explainer"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_value_is_within_a_distance_of_another(problems, claim, words):
    assert problems(of("value")) == []
    (found,) = problems(claim)
    assert found.startswith(words)


def test_nothing_decides_a_claim_without_a_size(problems):
    claim = without(of("correlation"), *SIZE)
    (found,) = problems(claim)
    assert found.startswith("claims[0]: 'a' has neither a published value nor a smallest effect")
    assert problems({**claim, "published": 0.9}) == []
    assert problems({**claim, **SIZE}) == []
    (found,) = problems({**claim, "smallest": 0.1})
    assert "add because" in found
    (found,) = problems({**claim, "published": 0.9, "because": "So it is."})
    assert "drop because" in found


def ordered(*places):
    """Claims from (name, tier, after); "" is a missing key."""
    keys = [{"name": n, "tier": tier, "after": after} for n, tier, after in places]
    return [of("correlation", **{k: v for k, v in given.items() if v}) for given in keys]


ORDER = [
    *(("a", "primary", ""), ("b", "primary", "a"), ("c", "secondary", "b")),
    *(("d", "secondary", "c"), ("e", "secondary", "a"), ("f", "", "")),
]


@pytest.mark.parametrize(
    ("places", "words"),
    [
        (ORDER, []),
        # the order in the file is no matter
        (ORDER[::-1], []),
        ([*ORDER, ("g", "primary", "bb")], ["claims[6].after names the unknown claim 'bb'; did"]),
        ([*ORDER, ("g", "secondary", "")], ["claims[6]: 'g' is secondary, but comes after no"]),
        ([*ORDER, ("g", "", "a")], ["claims[6]: 'g' comes after another claim, but has no tier"]),
        ([*ORDER, ("g", "secondary", "f")], ["claims[6].after is f, which is exploratory, but"]),
        ([*ORDER, ("g", "primary", "c")], ["claims[6].after is c, which is secondary, but 'g' is"]),
        ([*ORDER, ("g", "primary", "a")], ["claims: the primary claims 'b', 'g' all come after"]),
        ([*ORDER, ("g", "primary", "")], ["claims: the primary claims 'a', 'g' all come after no"]),
        ([("a", "primary", "a")], ["claims: after leads in a circle through 'a'; drop"]),
        (
            [("a", "primary", ""), ("b", "secondary", "c"), ("c", "secondary", "b")],
            ["claims: after leads in a circle through 'b', 'c'; drop it from one of them."],
        ),
        # a way into a circle is not part of it
        (
            [
                *(("a", "primary", "c"), ("b", "primary", "a"), ("c", "primary", "b")),
                ("d", "secondary", "a"),
            ],
            ["claims: after leads in a circle through 'a', 'c', 'b'; drop"],
        ),
        (
            [("a", "primary", "x"), ("b", "primary", "x"), ("c", "secondary", "")],
            ["claims[0].after", "claims[1].after", "claims[2]: 'c'", "claims: the primary"],
        ),
    ],
    ids=lambda value: "".join("".join(p) for p in value) if value and value[0][1:] else "",
)
def test_the_order_of_claims(problems, places, words):
    found = problems(*ordered(*places))
    assert len(found) == len(words)
    for message, start in zip(found, words, strict=True):
        assert message.startswith(start)


@pytest.mark.parametrize(
    ("claim", "low", "high"),
    [
        (of("correlation"), -1, 1),
        (of("correlation", minus_control="grad_cam_conv2"), -2, 2),
        (of("peak"), 0, 5),
        (of("no_loss"), -1, 1),
        (of("between_pruners"), -1, 1),
        (without(of("change"), "minus_pruner"), -1, 1),
        (of("change"), -2, 2),
        (of("change", metric="heatmap_spread"), -1, 1),
        (of("concept_in_top"), -1, 1),
        (of("concept_in_top", against="nothing"), 0, 1),
        (of("concept_in_top", against="nothing", minus_pruner="retrain"), -1, 1),
    ],
    ids=lambda value: "-".join(map(str, value.values())) if isinstance(value, dict) else "",
)
@pytest.mark.usefixtures("concept_methods")
def test_published_values_lie_in_the_range_of_the_quantity(problems, claim, low, high):
    study = SHAPES if "concept" in claim else {"metrics": ["soft_iou", "heatmap_spread"]}
    for value in (low, high):
        assert problems({**claim, "published": value}, **study) == []
    for value in (low - 0.01, high + 0.01):
        (found,) = problems({**claim, "published": value}, **study)
        assert found.startswith("claims[0].published is")
        assert f"lies between {low} and {high};" in found


def test_quantities_without_bounds_have_any_published_value(problems):
    # its unit states no upper bound; curves are summed up in other ways than their unit says
    metrics = ["soft_iou", "affine_iou", "entropy", "road_morf_accuracy"]
    for claim in (
        of("change", metric="entropy"),
        of("change", metric="road_morf_accuracy"),
        of("gain_explained"),
    ):
        assert problems({**claim, "published": 40}, metrics=metrics) == []


CHANGE, DRIFT = "concept_change", "concept_drift_beyond_retraining"
IN_TOP = "concept_in_top"


@pytest.mark.usefixtures("concept_methods")
def test_names_that_only_the_files_tell_are_not_held_against_anything(problems):
    claim = of(IN_TOP, entry="has_red_wing")
    (found,) = problems(claim, **SHAPES)
    assert "unknown concept of shapes 'has_red_wing'" in found
    assert problems(claim, **SHAPES, concept_bank={"shapes": "cub200"}) == []
    # one order for all classes
    assert problems(of(IN_TOP, **{"class": ""}), **SHAPES) == []


@pytest.mark.usefixtures("concept_methods")
@pytest.mark.parametrize(
    ("claim", "words"),
    [
        (of(CHANGE, concept="lables"), "concept names the unknown concept that runs 'lables'; did"),
        (of(CHANGE, measure="acuracy"), "measure names the unknown measure of labels 'acuracy'"),
        (of(CHANGE, measure="jaccard"), "unknown measure of labels 'jaccard'"),
        (of(CHANGE, minus_measure="sise"), "minus_measure names the unknown measure of labels"),
        (of(CHANGE, levels=[0, 3]), "levels is [0, 3], but magnitude has the pruned levels 1 to 5"),
        (of(CHANGE, levels=[3, 1]), "a list of two levels, the lower one first"),
        (of(CHANGE, levels=[3, 5]), "takes in level 4, in which no concepts are looked for"),
        (of(CHANGE, subset="hard"), "subset says nothing of concepts, of which concept_change is"),
        (of(CHANGE, metric="soft_iou"), "metric says nothing of concepts"),
        (of(CHANGE, against="retrain"), "against is 'retrain', but must be one of dense, nothing"),
        (of(CHANGE, minus_pruner="randm"), "unknown pruner that runs 'randm'"),
        (of(DRIFT, measure="accuracy"), "unknown comparison of labels 'accuracy' (known: jaccard)"),
        (of(DRIFT, concept="crops"), "unknown comparison of crops 'jaccard'"),
        (of(DRIFT, floor="magnitude"), "unknown pruner that only retrains and runs 'magnitude'"),
        (of(DRIFT, expected="lower"), "expected is 'lower', but must be one of"),
        (of(CHANGE, concept_label="rad"), "unknown concept of shapes 'rad'; did you mean 'red'?"),
        (of(IN_TOP, entry="rad"), "unknown concept of shapes 'rad'; did you mean 'red'?"),
        (of(IN_TOP, entry="red = rad"), "unknown concept of shapes 'rad'"),
        (of(IN_TOP, concept="crops", entry="concept_03"), "entry is 'concept_03', but crops only"),
        (
            of(CHANGE, concept="crops", measure="purity", concept_label="concept_03"),
            "concept_label is 'concept_03', but crops only numbers its concepts, network by",
        ),
        (of(IN_TOP, **{"class": "gull"}), "class names the unknown class of shapes 'gull'"),
        (of(IN_TOP, top=6), "top is 6, but must be at least 1 and at most 5."),
        (of(IN_TOP, top=2.5), "top is 2.5, but must be a whole number."),
        (of(IN_TOP, levels=[3, 4]), "takes in level 4, in which no concepts are looked for"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_wrong_with_claims_about_concepts(problems, claim, words):
    (sentence,) = problems(claim, **SHAPES, concept_analysis={"levels": [0, 1, 2, 3, 5]})
    assert words in sentence
    assert sentence.startswith("claims[0].")
    assert len(sentence) <= 280


def test_levels_of_the_other_pruner_are_its_own(problems):
    claim = of("between_pruners", levels=[4, 5])
    assert problems(claim)
    assert problems({**claim, "other_levels": [1, 1]}) == []
    for levels in ([1, 2], [1], "all"):
        (found,) = problems({**claim, "other_levels": levels})
        assert found.startswith("claims[0].other_levels is")


@pytest.mark.parametrize(
    ("keys", "parts"),
    [
        ({"metric": "soft_iou"}, ["metric is soft_iou", "metric of agreement", "spearman"]),
        ({"levels": [0, 2]}, ["levels is [0, 2]", "magnitude has the levels 1 to 4"]),
        # nothing follows the last level
        ({"levels": [2, 5]}, ["levels is [2, 5]", "magnitude has the levels 1 to 4"]),
        ({"levels": 2}, ["levels is 2", "list of two levels"]),
        ({"subset": "hard"}, ["subset", "about all images", "drop it"]),
        ({"published": 0.8}, ["published is 0.8", "between -0.5 and 0.5"]),
        ({"explainer": "control_edges"}, ["control_edges", "agreement is not measured"]),
    ],
)
def test_flips_that_nothing_can_foretell(problems, keys, parts):
    explainers = {"explainers": ["grad_cam_pp_conv2", "control_edges"]}
    (problem,) = problems(of("drift_foretells_flip", **keys), **explainers)
    assert all(part in problem for part in parts), problem


def test_one_level_has_no_next_one(problems):
    one = {"criterion": "magnitude", "rate": 0.5, "levels": 1}
    overlay = {"pruners": ["one"], "catalogue": {"pruners": {"one": one}}}
    asked = of("drift_foretells_flip", pruner="one", levels=[1, 1])
    (problem,) = problems(asked, **overlay)
    assert "claims[0].levels" in problem
    assert "one level, which no other follows" in problem


def test_drift_needs_agreement(problems):
    found = problems(of("drift_foretells_flip", metric="soft_iou"), agreement=[])
    assert any("add one to agreement" in problem for problem in found), found


@pytest.mark.parametrize(
    ("claim", "words"),
    [
        (of("at_equal_accuracy", loss=0), "claims[0].loss is 0, but must be above 0 and below 1"),
        (of("at_equal_accuracy", loss=1), "claims[0].loss is 1, but must be above 0 and below 1"),
        (of("at_equal_accuracy", loss="all"), "claims[0].loss is 'all', but must be"),
        (of("at_equal_accuracy", of="accuracy"), "unknown metric or agreement that runs"),
        (of("at_equal_accuracy", other_pruner="snip"), "unknown pruner that prunes and runs"),
        (of("at_equal_accuracy", other_pruner="retrain"), "unknown pruner that prunes and runs"),
        (of("at_equal_accuracy", other_pruner="magnitude"), "compares magnitude with itself"),
        (of("at_equal_accuracy", pruners=["random"], other_pruner="lamp"), "leaves out the claim"),
        (
            of("at_equal_accuracy", pruners=["magnitude", "retrain"]),
            "claims[0].pruners names the unknown pruner that prunes and runs 'retrain'",
        ),
        (
            of("at_equal_accuracy", pruners=["magnitude", "magnitude"]),
            "must be a list of pruners, each once",
        ),
        (
            without(of("at_equal_accuracy"), "other_pruner"),
            "claims[0] needs either other_pruner or other_pruners; give one of them.",
        ),
        (
            of("at_equal_accuracy", other_pruners=["lamp"]),
            "claims[0] needs either other_pruner or other_pruners; give one of them.",
        ),
        (
            of("at_equal_accuracy", explainer="control_edges", of="spearman"),
            "claims[0].of is the agreement spearman, which is not measured for control_edges",
        ),
    ],
)
def test_what_cannot_be_compared_at_equal_accuracy(problems, claim, words):
    study = {"pruners": ["magnitude", "random", "lamp", "retrain"], "agreement": ["spearman"]}
    assert problems(of("at_equal_accuracy"), **study) == []
    found = problems(claim, **study)
    assert found, words
    assert words in found[0]


def test_a_loss_is_read_off_between_levels_that_are_explained(problems):
    study = {"pruners": ["magnitude", "random"], "families": {"cam": {"levels": [0, 3]}}}
    assert len(found := problems(of("at_equal_accuracy"), **study)) == 2
    assert "explained at fewer than two pruned levels of magnitude" in found[0]
