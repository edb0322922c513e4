"""Every fault of a configuration is one sentence that says what to change."""

import datetime
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from sparsight.io.errors import InputError
from sparsight.study.problems import load_yaml, schema_problems, unknown_name

NAME = "^[a-z0-9_]+$"
SCHEMA = {
    "$defs": {"share": {"type": "number", "exclusiveMinimum": 0, "maximum": 1}},
    "type": "object",
    "required": ["study", "seeds"],
    "additionalProperties": False,
    "properties": {
        "study": {"type": "string", "pattern": NAME, "maxLength": 20},
        "seeds": {
            "type": "array",
            "items": {"type": "integer", "minimum": 0},
            "minItems": 1,
            "uniqueItems": True,
        },
        "target": {"enum": ["true", "predicted", "dense_predicted"]},
        "noise": {"type": "boolean"},
        "budget": {"type": ["number", "null"], "multipleOf": 0.5},
        "metrics": {"type": "array", "items": {"type": "string"}, "contains": {"const": "gini"}},
        "pruners": {
            "type": "object",
            "propertyNames": {"pattern": NAME},
            "minProperties": 1,
            "additionalProperties": {
                "type": "object",
                "additionalProperties": False,
                "required": ["criterion"],
                "dependentRequired": {"rate": ["levels"]},
                "properties": {
                    "criterion": {"enum": ["magnitude", "random"]},
                    "rate": {"$ref": "#/$defs/share"},
                    "levels": {"type": "integer", "minimum": 1},
                    "rewind": {
                        "anyOf": [
                            {"enum": ["init", "pretrained", "none"]},
                            {"type": "string", "pattern": r"^epoch:\d+$"},
                            {"type": "integer", "minimum": 0},
                        ]
                    },
                    "recipe": {
                        "oneOf": [
                            {
                                "type": "object",
                                "required": ["kind"],
                                "properties": {"kind": {"const": "ranger"}},
                            },
                            {
                                "type": "object",
                                "required": ["kind", "epochs"],
                                "properties": {
                                    "kind": {"const": "sgd"},
                                    "epochs": {"type": "integer"},
                                    "rate": {"$ref": "#/$defs/share"},
                                },
                            },
                        ]
                    },
                    "gone": False,
                },
            },
        },
        "free": {"not": {"type": "string"}},
        "one": {
            "oneOf": [
                {"type": "object", "required": ["a", "b"], "not": {"required": ["c"]}},
                {"required": ["c"], "not": {"anyOf": [{"required": ["a"]}, {"required": ["b"]}]}},
            ]
        },
        "extra": {
            "type": "object",
            "patternProperties": {"^x_": {}},
            "unevaluatedProperties": False,
        },
    },
}
VALID = {
    "study": "thesis_mnist",
    "seeds": [333, 334],
    "target": "true",
    "pruners": {
        "magnitude": {
            "criterion": "magnitude",
            "rate": 0.2,
            "levels": 25,
            "rewind": "epoch:3",
            "recipe": {"kind": "sgd", "epochs": 10, "rate": 0.01},
        }
    },
}


def changed(*path_and_value):
    """The valid configuration with one value replaced."""
    *path, value = path_and_value

    def put(node, steps):
        if not steps:
            return value
        copy = dict(node)
        copy[steps[0]] = put(copy.get(steps[0], {}), steps[1:])
        return copy

    return put(VALID, path)


def pruner(key, value):
    return changed("pruners", "magnitude", key, value)


CASES = {
    "unknown key": (changed("metric", []), ["'metric'", "top level", "did you mean 'metrics'?"]),
    "unknown key below": (pruner("ratte", 1), ["pruners.magnitude", "'ratte'", "'rate'", "levels"]),
    "type": (changed("noise", [1, 2]), ["noise is a list of 2", "true or false"]),
    "types": (changed("budget", "much"), ["budget", "'much'", "a number or empty"]),
    "number as text": (pruner("rate", "1e-3"), ["magnitude.rate", "took it for text", "0.001"]),
    "tiny as text": (pruner("rate", "1e-10"), ["write 1.0e-10,"]),
    "text as number": (changed("study", 12), ["study is 12", "text", "put it in quotes"]),
    "text as date": (changed("study", datetime.date(2024, 1, 2)), ["2024-01-02", "in quotes"]),
    "enum": (changed("target", "predictd"), ["'predictd'", "true, predicted", "mean 'predicted'?"]),
    "enum as truth": (changed("target", True), ["target is true", "put it in quotes"]),
    "too low": (pruner("rate", 0), ["magnitude.rate is 0", "above 0 and of at most 1"]),
    "too high": (pruner("rate", 1.5), ["1.5", "at most 1"]),
    "pattern": (changed("study", "Thesis MNIST"), ["'Thesis MNIST'", NAME]),
    "name pattern": (
        changed("pruners", "Big-One", {"criterion": "random"}),
        ["the name 'Big-One' at pruners", NAME],
    ),
    "required": (changed("pruners", "x", {}), ["'criterion' is missing at pruners.x", "magnitude"]),
    "dependent": (changed("pruners", "x", {"criterion": "random", "rate": 0.1}), ["levels"]),
    "in a list": (changed("seeds", [1, -2]), ["seeds[1] is -2", "at least 0"]),
    "empty list": (changed("seeds", []), ["seeds is an empty list", "at least 1 entry"]),
    "twice": (changed("seeds", [5, 7, 5]), ["seeds holds 5 more than once"]),
    "empty": (changed("seeds", None), ["seeds is empty", "a list"]),
    "any of, none": (pruner("rewind", "start"), ["'start'", "init, pretrained, none", "epoch:"]),
    "any of, one meant": (pruner("rewind", -1), ["rewind is -1", "at least 0"]),
    "one of, one meant": (pruner("recipe", {"kind": "sgd"}), ["'epochs' is missing", "recipe"]),
    "one of, below": (
        pruner("recipe", {"kind": "sgd", "epochs": 1, "rate": 2}),
        ["recipe.rate is 2", "at most 1"],
    ),
    "one of, wrong type": (pruner("recipe", "sgd"), ["recipe is 'sgd'", "a mapping"]),
    "forbidden": (pruner("gone", 1), ["pruners.magnitude holds 1", "not allowed"]),
    "multiple": (changed("budget", 0.3), ["budget is 0.3", "a multiple of 0.5"]),
    "contains": (changed("metrics", ["iou"]), ["metrics"]),
    "not": (changed("free", "x"), ["free is 'x'"]),
    "keys that conflict": (changed("one", {"a": 1, "b": 1, "c": 1}), ["one: c", "a and b"]),
    "one key that conflicts": (changed("one", {"a": 1, "c": 1}), ["one: a ", "with c"]),
    "key as truth": (changed("pruners", False, {}), ["a key at pruners is false", "in quotes"]),
    "not finite": (pruner("rate", float("nan")), ["magnitude.rate is nan", "finite"]),
    "no 64 bits": (changed("budget", 10**400), ["budget", "64 bits"]),
    "no mapping": ([], ["the top level is an empty list", "a mapping"]),
}


def raw_messages(config):
    """What jsonschema itself says of a configuration, at any depth."""
    errors = [*Draft202012Validator(SCHEMA).iter_errors(config)]
    while errors:
        error = errors.pop()
        yield error.message
        errors.extend(error.context or ())


@pytest.mark.parametrize("case", CASES)
def test_one_fault_is_one_sentence_that_names_key_value_and_remedy(case):
    config, words = CASES[case]
    sentences = schema_problems(config, SCHEMA)
    assert len(sentences) == 1, sentences
    for word in words:
        assert word in sentences[0], sentences[0]
    assert_readable(sentences)


def assert_readable(sentences):
    for sentence in sentences:
        assert 10 < len(sentence) <= 280
        assert "\n" not in sentence
    assert len(set(sentences)) == len(sentences)


def test_valid_configuration_has_no_problems():
    assert schema_problems(VALID, SCHEMA) == []


def test_all_faults_are_told_at_once_in_the_order_of_their_places():
    config = changed("seeds", [-1, "x", -3])
    config |= {"noise": 1, "aa": 1, "zz": 1}
    sentences = schema_problems(config, SCHEMA)
    keys = ["'aa'", "noise", "seeds[0]", "seeds[1]", "seeds[2]", "'zz'"]
    assert len(sentences) == len(keys)
    assert all(key in sentence for key, sentence in zip(keys, sentences, strict=True))
    backwards = dict(reversed(config.items()))
    assert schema_problems(backwards, SCHEMA) == sentences


def test_position_in_a_long_list_sorts_as_a_number():
    sentences = schema_problems(changed("seeds", [*range(9), -1, -2]), SCHEMA)
    assert ["seeds[9]" in sentences[0], "seeds[10]" in sentences[1]] == [True, True]


def test_long_values_and_many_names_are_shortened():
    schema = {"properties": {f"key_number_{i}": {} for i in range(200)}}
    schema |= {"additionalProperties": False}
    (sentence,) = schema_problems({"x" * 5000: "y" * 5000}, schema)
    assert len(sentence) <= 280
    assert "more" in sentence


def test_quotes_are_advised_only_where_they_would_help():
    (sentence,) = schema_problems(pruner("criterion", False), SCHEMA)
    assert "quotes" not in sentence


def test_key_that_matches_a_pattern_is_not_called_unknown():
    schema = {"patternProperties": {"^x_": {}}, "additionalProperties": False}
    (sentence,) = schema_problems({"x_1": 1, "y_1": 1}, schema)
    assert "unknown key 'y_1'" in sentence
    assert "^x_" in sentence


KEYS = st.sampled_from(
    ["study", "seeds", "target", "pruners", "rate", "rewind", "recipe", "kind", "extra", "x_1"]
)
TEXT = st.sampled_from(["true", "sgd", "init", "epoch:1", "1e-3", "magnitude"]) | st.text()
SCALARS = (
    st.none() | st.booleans() | st.integers() | TEXT | st.floats(allow_nan=False, width=32)
).filter(lambda x: not isinstance(x, int | float) or abs(x) < 2**63)
JSON = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(KEYS | st.text(), inner, max_size=4)
    ),
    max_leaves=12,
)
JUNK = st.recursive(
    SCALARS | st.floats() | st.integers() | st.dates() | st.binary() | st.sets(st.integers()),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(KEYS | st.integers() | st.booleans() | st.none(), inner, max_size=4)
    ),
    max_leaves=12,
)
PATHS = st.sampled_from(
    [(k,) for k in SCHEMA["properties"]]
    + [("pruners", "x"), ("new",), ("one", "a"), ("one", "c"), ("one",)]
    + [("pruners", "magnitude", k) for k in ["criterion", "rate", "levels", "rewind", "recipe"]]
    + [("pruners", "magnitude", "recipe", k) for k in ["kind", "epochs", "rate"]]
)


@settings(deadline=None, max_examples=300)
@given(JSON | st.builds(lambda path, value: changed(*path, value), PATHS, JSON))
def test_there_are_sentences_exactly_where_jsonschema_finds_fault(config):
    sentences = schema_problems(config, SCHEMA)
    assert (sentences == []) == Draft202012Validator(SCHEMA).is_valid(config)
    assert_readable(sentences)
    raw = {*raw_messages(config)}
    assert not [text for text in sentences if any(message[:60] in text for message in raw)]


@settings(deadline=None, max_examples=300)
@given(JUNK | st.builds(lambda path, value: changed(*path, value), PATHS, JUNK))
def test_junk_never_raises(config):
    assert_readable(schema_problems(config, SCHEMA))
    assert_readable(schema_problems(config, SCHEMA | {"oneOf": [{"type": "null"}, {}]}))


@settings(deadline=None)
@given(st.integers() | st.booleans() | st.none() | st.dates())
def test_key_that_is_no_text_is_always_a_problem(key):
    assert len(schema_problems({key: 1}, {})) == 1


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
