"""Configurations with mistakes at random places: sentences, or a plan of all that would run."""

import copy
import itertools
import re
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings

from sparsight.io.errors import InputError, as_yaml
from sparsight.study.configuration import normalise, resolve
from tests.bad_input.counting import Tried, check_sentence
from tests.bad_input.mutations import (
    CONFIG,
    NAMES,
    SCHEMA,
    WHOLE,
    Mistaken,
    combinations,
    merged,
    mistakes,
    places,
)
from tests.bad_input.planned import plan

PROFILE = settings.get_profile("bad_input")


def keys(value: Any) -> set[str]:
    """Names of all keys, of a configuration or a schema."""
    return {str(step) for place in places(value) for step in place}


KNOWN = keys(CONFIG) | keys(SCHEMA)


def over_budget(whole: Mapping[str, Any]) -> list[str]:
    """The sentence of a sound configuration that would store too much; all else must be planned."""
    try:
        plan(whole)
    except InputError as error:
        if "disk_budget_gb" not in str(error):
            raise
        return [f"{error}."]
    return []


def refused(tried: Tried, config: Mapping[str, Any]) -> list[str]:
    """The problems of a configuration; one without problems must be planned to the end."""
    sentences: list[str] = []

    def ask() -> None:
        whole = normalise(config)
        sentences.extend(resolve(whole)[1])
        if not sentences:
            sentences.extend(over_budget(whole))
        if sentences:
            raise InputError(sentences[0])

    # Keys that only this configuration has may be no words at all.
    # "a key at the top level" is all that names one that is no text
    named = KNOWN | set(keys(config)) | {"top"}
    tried(ask, named)
    for sentence in sentences:
        check_sentence(sentence)
        assert sentence[-1] in ".?)…", sentence
        words = [*re.findall(r"\w+", sentence), *re.findall(r"'([^']*)'", sentence)]
        assert named.intersection(words), sentence
    assert len(set(sentences)) == len(sentences)
    return sentences


def names_a_part(sentences: list[str], mistaken: Mistaken) -> bool:
    """Whether a sentence names a key where a mistake is, the one above it, or what stands there."""
    words = " ".join(sentences)
    known = [
        key
        for place in mistaken.places
        # A position in a list is named by the list.
        for key in [str(step) for step in place if not isinstance(step, int)][-2:]
    ]
    known += [mistaken.given(place).strip("'") for place in mistaken.places]
    # What is sound may still need more room than the study allows itself, ...
    known.append("disk_budget_gb")
    if any(len(place) == 1 for place in mistaken.places):
        # ... and another choice of what runs may be contradicted by any other part, which is named.
        known += list(mistaken.config)
    return any(
        text and as_yaml(text).strip("'\"")[:30] in words for text in [*known, *mistaken.missed]
    )


@settings(PROFILE, max_examples=300)
@given(mistaken=mistakes())
def test_one_mistake_is_named(tried: Tried, mistaken: Mistaken) -> None:
    sentences = refused(tried, mistaken.config)
    assert not sentences or names_a_part(sentences, mistaken), sentences


@settings(PROFILE, max_examples=200)
@given(mistaken=combinations())
def test_several_mistakes_and_odd_combinations(tried: Tried, mistaken: Mistaken) -> None:
    refused(tried, mistaken.config)


@pytest.mark.parametrize("name", sorted(WHOLE))
def test_the_studies_themselves_are_planned(name: str) -> None:
    whole = normalise(WHOLE[name])
    assert resolve(whole)[1] == []
    plan(whole)


OPTIONS = [
    (study, dataset, option)
    for study in (
        "thesis_mnist",
        "lth_ham10000",
        "lth_cub200",
        "spade_imagenette",
        "concepts_shapes",
    )
    for dataset in WHOLE[study]["datasets"]
    for option in WHOLE[study]["catalogue"]["datasets"][dataset].get("options", {})
]


@pytest.mark.parametrize(("study", "dataset", "option"), OPTIONS)
def test_options_of_data_sets(tried: Tried, study: str, dataset: str, option: str) -> None:
    """Sources look at them in code of their own; nobody may be surprised after that."""
    for value in ("&a", -5, [], {"a": 1}, None, 10**9, 0.5, True):
        config = copy.deepcopy(WHOLE[study])
        config["catalogue"]["datasets"][dataset]["options"][option] = value
        refused(tried, config)


# Names become folders and parts of file names.
_GROUPS = ("datasets", "models", "pruners", "explainers", "metrics", "agreement", "concepts")
_ODD = [name for name in NAMES if not re.fullmatch(r"[a-z0-9_]+", name) or len(name) > 40]


@pytest.mark.parametrize(
    ("name", "group"),
    [*zip([*_ODD, "thesis_cnn\n", "x" * 41], itertools.cycle(_GROUPS), strict=False)],
)
def test_names_that_are_no_file_names_are_refused(tried: Tried, name: str, group: str) -> None:
    config = copy.deepcopy(WHOLE["thesis_mnist"])
    entries = config["catalogue"][group]
    entries[name] = next(iter(entries.values()))
    config[group] = [name]
    assert refused(tried, config)
    assert refused(tried, {**WHOLE["thesis_mnist"], "study": name})


@pytest.mark.parametrize("name", ["dense", "summary", "figures", "start", "logs", "benchmarks"])
def test_reserved_names_are_refused(tried: Tried, name: str) -> None:
    for group in ("datasets", "models", "pruners"):
        config = copy.deepcopy(WHOLE["thesis_mnist"])
        first = config[group][0]
        config["catalogue"][group][name] = config["catalogue"][group][first]
        config[group] = [name]
        config["claims"] = []
        assert any("reserved" in sentence for sentence in refused(tried, config))
    assert refused(tried, merged(WHOLE["thesis_mnist"], {"study": name}))


@pytest.mark.parametrize("folder", ["", "a{b}", "a\nb", "a\x00b", "data\n"])
def test_data_folders_that_snakemake_would_misread(tried: Tried, folder: str) -> None:
    (sentence,) = refused(tried, {**CONFIG, "data_folder": folder})
    assert sentence.startswith("data_folder is ")
