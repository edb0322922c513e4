"""Every fault of a configuration is one error message that says what to change."""

import copy
import datetime
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from sparsight.io.errors import InputError, unknown_name
from sparsight.study.models import json_schema, validated
from sparsight.study.yaml_files import load_yaml

SCHEMA = json_schema()
NAME = "^[a-z0-9_]+$"
RECIPE = {"epochs": 2, "batch_size": 8, "optimiser": {"name": "sgd", "learning_rate": 0.1}}
VALID = {
    "study": "thesis_mnist",
    "datasets": ["mnist"],
    "models": ["cnn"],
    "seeds": [333, 334],
    "explaining": {"target": "true", "levels": [0, 3]},
    "catalogue": {
        "datasets": {"mnist": {"source": "mnist"}},
        "models": {"cnn": {"architecture": "thesis_cnn", "retraining": RECIPE}},
        "pruners": {"magnitude": {"criterion": "magnitude", "rate": 0.2, "levels": 25}},
        "sample_pruners": {"s": {"solver": "obs", "sparsities": {"constant": 0.5}}},
    },
}


def changed(path, value):
    """The valid configuration with one value replaced, by its dotted path."""
    found = copy.deepcopy(VALID)
    *above, last = path.split(".")
    node = found
    for step in above:
        node = node.setdefault(step, {})
    node[last] = value
    return found


def pruner(key, value):
    return changed(f"catalogue.pruners.magnitude.{key}", value)


def recipe(key, value):
    return changed(f"catalogue.models.cnn.retraining.{key}", value)


CASES = {
    "unknown key": (changed("metrix", []), ["'metrix'", "top level", "did you mean 'metrics'?"]),
    "unknown key below": (pruner("ratte", 1), ["pruners.magnitude", "'ratte'", "'rate'", "levels"]),
    "unknown key of a recipe": (recipe("epoch", 1), ["models.cnn.retraining", "'epochs'"]),
    "type": (changed("track_code", [1, 2]), ["track_code is a list of 2", "true or false"]),
    "number as text": (pruner("rate", "1e-3"), ["magnitude.rate", "took it for text", "0.001"]),
    "tiny as text": (pruner("rate", "1e-10"), ["write 1.0e-10,"]),
    "text as number": (changed("study", 12), ["study is 12", "text", "put it in quotes"]),
    "text as date": (changed("study", datetime.date(2024, 1, 2)), ["2024-01-02", "in quotes"]),
    "enum": (
        changed("explaining.target", "predictd"),
        ["'predictd'", "true, predicted", "mean 'predicted'?"],
    ),
    "enum as truth": (changed("explaining.target", True), ["target is true", "put it in quotes"]),
    "too low": (pruner("rate", -1), ["magnitude.rate is -1", "at least 0 and below 1"]),
    "too high": (pruner("rate", 1.5), ["1.5", "below 1"]),
    "pattern": (changed("study", "Thesis MNIST"), ["'Thesis MNIST'", NAME]),
    "line break": (changed("study", "a\n"), ["study", NAME]),
    "name pattern": (
        changed("catalogue.pruners.Big-One", {"criterion": "random", "densities": [0.5]}),
        ["the name 'Big-One' at catalogue.pruners", "^[a-z0-9]"],
    ),
    "required": (
        changed("catalogue.explainers.x", {"family": "f"}),
        ["'method' is missing at catalogue.explainers.x", "text"],
    ),
    "no recipe": (recipe("optimiser", None), ["retraining.optimiser is empty", "a mapping"]),
    "half a recipe": (
        changed("catalogue.models.cnn.retraining", {"epochs": 1}),
        ["'batch_size' and 'optimiser' are missing at catalogue.models.cnn.retraining"],
    ),
    "order of two": (
        recipe("augment", {"random_resized_crop": {"scale": [0.9, 0.1]}}),
        ["retraining.augment.random_resized_crop.scale must have the smaller number first"],
    ),
    "in a list": (changed("seeds", [1, -2]), ["seeds[1] is -2", "at least 0"]),
    "empty list": (changed("seeds", []), ["seeds is an empty list", "at least 1 entry"]),
    "twice": (changed("seeds", [5, 7, 5]), ["seeds holds 5 more than once"]),
    "empty": (changed("seeds", None), ["seeds is empty", "a list"]),
    "any of, none": (
        changed("explaining.levels", "al"),
        ["'al'", "a whole number of at least 2", "a list", "did you mean 'all'?"],
    ),
    "any of, a mapping": (changed("explaining.levels", {}), ["levels is an empty mapping", "list"]),
    "any of, one meant": (changed("explaining.levels", -1), ["levels is -1", "at least 2"]),
    "any of, below": (
        changed("explaining.levels", [0, "x"]),
        ["levels[1] is 'x'", "a whole number"],
    ),
    "keys that conflict": (
        pruner("densities", [0.5]),
        ["densities", "rate and levels", "keep one"],
    ),
    "one key that conflicts": (
        changed("catalogue.sample_pruners.s.sparsities.as", "x"),
        ["sparsities: constant conflicts with as", "new sample pruner"],
    ),
    "key as truth": (
        {**VALID, "families": {False: {}}},
        ["a key at families is false", "in quotes"],
    ),
    "not finite": (pruner("rate", float("nan")), ["magnitude.rate is nan", "finite"]),
    "no 64 bits": (changed("disk_budget_gb", 10**400), ["disk_budget_gb", "64 bits"]),
    "binary data": (
        changed("catalogue.datasets.mnist.options.variant", b"x"),
        ["options.variant is", "in quotes"],
    ),
    "a date below": (
        changed("catalogue.datasets.mnist.options.variant", datetime.date(2026, 1, 2)),
        ["options.variant is", "2026-01-02", "in quotes"],
    ),
    "no mapping": ([], ["the top level is an empty list", "a mapping"]),
}


def problems(config):
    return validated(config)[1]


@pytest.mark.parametrize("case", CASES)
def test_one_fault_is_one_message_that_names_key_value_and_remedy(case):
    config, words = CASES[case]
    sentences = problems(config)
    assert len(sentences) == 1, sentences
    for word in words:
        assert word in sentences[0], sentences[0]
    assert_readable(sentences)


def assert_readable(sentences):
    for sentence in sentences:
        assert 10 < len(sentence) <= 280
        assert "\n" not in sentence
        assert "constrained" not in sentence
        assert "Input should" not in sentence
    assert len(set(sentences)) == len(sentences)


def test_valid_configuration_has_no_problems():
    assert problems(VALID) == []


def test_all_faults_are_told_at_once_in_the_order_of_their_places():
    config = {**VALID, "seeds": [-1, "x", -3], "track_code": 1, "aa": 1, "zz": 1}
    sentences = problems(config)
    keys = ["'aa'", "seeds[0]", "seeds[1]", "seeds[2]", "track_code", "'zz'"]
    assert len(sentences) == len(keys)
    assert all(key in sentence for key, sentence in zip(keys, sentences, strict=True))
    assert problems(dict(reversed(config.items()))) == sentences


def test_position_in_a_long_list_sorts_as_a_number():
    sentences = problems(changed("seeds", [*range(9), -1, -2]))
    assert ["seeds[9]" in sentences[0], "seeds[10]" in sentences[1]] == [True, True]


def test_long_values_and_many_names_are_shortened():
    (sentence,) = problems({**VALID, "x" * 5000: "y" * 5000})
    assert len(sentence) <= 280
    assert "more" in sentence


def places(value, path=""):
    for key, inner in value.items():
        yield f"{path}{key}"
        if isinstance(inner, dict):
            yield from places(inner, f"{path}{key}.")


PATHS = [
    *places(VALID),
    *("families.x", "families.cam.levels", "networks", "claims", "concept_bank.x", "new"),
    *("figures.sheet_levels", "sample_pruning.visualised.classes", "catalogue.pruners.x"),
    *("catalogue.pruners.magnitude.retraining", "catalogue.models.cnn.retraining.schedule"),
]
TEXT = st.sampled_from(["true", "sgd", "init", "epoch:1", "1e-3", "magnitude", "all"]) | st.text()
SCALARS = st.none() | st.booleans() | st.integers(-(2**40), 2**40) | TEXT | st.floats(width=32)
KEYS = st.sampled_from(["name", "rate", "levels", "epochs", "dataset", "claim"]) | st.text()
JSON = st.recursive(
    SCALARS.filter(lambda x: x == x and abs(x) < 1e30 if isinstance(x, float) else True),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)
JUNK = st.recursive(
    SCALARS | st.integers() | st.dates() | st.binary() | st.sets(st.integers()),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(KEYS | st.integers() | st.booleans() | st.none(), inner, max_size=4)
    ),
    max_leaves=12,
)


@settings(deadline=None, max_examples=300)
@given(JSON | st.builds(changed, st.sampled_from(PATHS), JSON))
def test_whatever_the_schema_refuses_has_a_message(config):
    sentences = problems(config)
    # A whole number may be written with a point; `normalised` makes it one before.
    if not Draft202012Validator(SCHEMA).is_valid(config):
        assert sentences
    assert_readable(sentences)


@settings(deadline=None, max_examples=300)
@given(JUNK | st.builds(changed, st.sampled_from(PATHS), JUNK))
def test_junk_never_raises(config):
    assert_readable(problems(config))


@settings(deadline=None)
@given(st.integers() | st.booleans() | st.none() | st.dates())
def test_key_that_is_no_text_is_always_a_problem(key):
    assert len(problems({**VALID, key: 1})) == 1


def test_unknown_name_suggests_the_nearest():
    sentence = unknown_name("metric", "metrics[1]", "soft_iuo", ["gini", "soft_iou"])
    assert "metrics[1] names the unknown metric 'soft_iuo'; did you mean 'soft_iou'?" in sentence
    assert "known: gini, soft_iou" in sentence


def test_forms_of_foreign_names_are_never_cut():
    known = [f"a_rather_long_name_{i}" for i in range(20)] + ["captum.<Class>", "grad_cam.<Class>"]
    sentence = unknown_name("explainer", "catalogue.explainers.new.method", "gradcam", known)
    assert "(known: a_rather_long_name_0, a_rather_long_name_1," in sentence
    assert re.search(r"a_rather_long_name_\d and (\d+) more, captum.<Class>, grad_cam", sentence)
    # what is shown and what is not are all of them
    shown = sentence.count("a_rather_long_name_")
    assert f" and {20 - shown} more, " in sentence
    # the names give way, not the end
    for length in range(1, 121):
        sentence = unknown_name("explainer", "x" * length, f"a_rather_long_name_{'y' * 40}", known)
        assert sentence.endswith(", captum.<Class>, grad_cam.<Class>).")
        assert_readable([sentence])
    assert "(known: 20 names, captum." in sentence
    few = unknown_name("metric", "metrics", "x", ["gini", "quantus.<Class>"])
    assert few.endswith("(known: gini, quantus.<Class>).")


@pytest.mark.parametrize("name", [False, 12, datetime.date(2024, 1, 2)])
def test_unknown_name_that_yaml_made_no_text_says_quote_it(name):
    assert "put it in quotes" in unknown_name("data set", "datasets[0]", name, ["no", "12"])


@settings(deadline=None)
@given(
    st.none() | st.booleans() | st.floats() | st.text() | st.lists(st.text()), st.sets(st.text())
)
def test_unknown_name_takes_anything(name, known):
    assert_readable([unknown_name("metric", "metrics", name, known)])


# --- load_yaml


def written(tmp_path, text):
    path = tmp_path / "study.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_load_yaml_reads_a_mapping(tmp_path):
    path = written(tmp_path, "a: 1\nb:\n  - {c: x}\n")
    assert load_yaml(path) == {"a": 1, "b": [{"c": "x"}]}


def test_load_yaml_lets_a_merged_key_be_overridden(tmp_path):
    text = (
        "root: &root {rate: 1, levels: 2}\nlist:\n- base: &base\n    <<: *root\n    rate: 2\n"
        "child:\n  <<: *base\n  rate: 3\n"
    )
    content = load_yaml(written(tmp_path, text))
    assert content["child"] == {"rate": 3, "levels": 2}
    assert content["list"][0]["base"] == {"rate": 2, "levels": 2}


BROKEN = {
    "syntax": ("a: 1\nb: [1, 2\nc: 3\n", ["line 3"]),
    "tab": ("a:\n\tb: 1\n", ["line 2", "spaces"]),
    "twice": ("a: 1\nb: 2\na: 3\n", ["line 3", "'a'", "twice", "line 1"]),
    "twice below": ("a:\n  rate: 1\n  rate: 1\n", ["line 3", "'rate'", "line 2"]),
    "twice in flow": ("a: {rate: 1, rate: 2}\n", ["line 1", "'rate'"]),
    "twice, other spelling": ("yes: 1\ntrue: 2\n", ["line 2", "true"]),
    "list on top": ("- a\n- b\n", ["mapping", "a list of 2"]),
    "empty": ("# nothing\n", ["mapping", "is empty"]),
    "two documents": ("a: 1\n---\nb: 1\n", ["line 2", "single document"]),
    "object": ("a: !!python/object:os.system {}\n", ["line 1"]),
    "impossible date": ("a: 2024-13-45\n", ["not valid YAML"]),
    "unhashable key": ("? [a, b]\n: 1\n", ["line 1"]),
    "unknown alias": ("a: *b\n", ["line 1", "b"]),
    "unprintable": ("a: \x00\n", ["not valid YAML"]),
    "not utf-8": (b"a: \xff\xfe\n", ["UTF-8"]),
    "loop": ("a: &x\n  b: [*x]\n", ["alias"]),
    "too deep": ("a: " + "[" * 5000 + "]" * 5000, ["deep"]),
}


@pytest.mark.parametrize("case", BROKEN)
def test_load_yaml_says_what_is_wrong_and_where(case, tmp_path):
    text, words = BROKEN[case]
    path = written(tmp_path, text)
    with pytest.raises(InputError) as caught:
        load_yaml(path)
    sentence = str(caught.value)
    assert sentence.startswith(str(path))
    assert "\n" not in sentence
    for word in words:
        assert word in sentence.removeprefix(str(path)), sentence


@pytest.mark.parametrize("name", ["missing.yaml", "."])
def test_load_yaml_names_the_file_that_cannot_be_read(name, tmp_path):
    with pytest.raises(InputError, match=str(tmp_path)):
        load_yaml(tmp_path / name)


@settings(deadline=None)
@given(text=st.text("ab:- \n\t[]{},&*!'\"<?|>#0.", max_size=40))
def test_load_yaml_gives_a_mapping_or_a_sentence(text, tmp_path_factory):
    path = written(tmp_path_factory.getbasetemp(), text)
    try:
        found = load_yaml(path)
    except InputError as error:
        found = {"sentence": str(error)}
        names_the_file = str(path) in str(error)
    else:
        names_the_file = True
    assert isinstance(found, dict)
    assert names_the_file
