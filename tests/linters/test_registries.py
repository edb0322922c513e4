"""Every registered item states its facts, and says the same when imported as when only read."""

import importlib
from pathlib import Path

import pytest

from sparsight.registration import Registry

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src"
FACTS = {
    "explainer": {
        "signed": bool,
        "reduction": str,
        "value_range": str,
        "cost": int,
        "native": ("pixel", "layer"),
        "interpolation": ("bilinear", "none"),
        "needs_network": bool,
        "control": bool,
        "parameters": dict,
        "excluded_models": tuple,
    },
    "metric": {
        "category": str,
        # "" for what only describes a heatmap
        "direction": ("higher", "lower", ""),
        "unit": str,
        "needs": tuple,
        "treatment": ("signed", "absolute", "positive"),
        "normalisation": ("none", "min_max"),
        "mask_rule": ("soft", "binary", "none"),
        "parameters": dict,
    },
    "agreement metric": {
        "category": str,
        "direction": ("higher", "lower"),
        "unit": str,
        "treatment": ("signed", "absolute", "positive"),
        "normalisation": ("none", "min_max"),
        "resolution": ("native", "image"),
        "parameters": dict,
    },
    "concept method": {
        # of find; of compare, which may give none
        "measures": dict,
        "comparisons": dict,
        "needs": tuple,
        "shared_names": bool,
        "sheet": bool,
        "parameters": dict,
    },
    "sample solver": {
        "needs_hessian": bool,
        # 0 for any number
        "largest_columns": int,
        "parameters": dict,
    },
    "claim test": {
        "needs": tuple,
        "parameters": dict,
        "choices": dict,
        "ranges": dict,
        "refers": dict,
    },
}


def registries():
    for path in sorted(SOURCE.rglob("registry.py")):
        module = importlib.import_module(".".join(path.relative_to(SOURCE).with_suffix("").parts))
        yield from (value for value in vars(module).values() if isinstance(value, Registry))


REGISTRIES = list(registries())
ITEMS = [(registry, name) for registry in REGISTRIES for name in sorted(registry.entries)]
ADAPTERS = [(registry, prefix) for registry in REGISTRIES for prefix in sorted(registry.adapters)]
per_item = pytest.mark.parametrize(
    ("registry", "name"), ITEMS, ids=[f"{registry.kind}:{name}" for registry, name in ITEMS]
)


def wrong_facts(kind, name, facts):
    """Facts that are missing or have a value that is not allowed."""
    expected = {"name": (name,), "reference": str, **FACTS.get(kind, {})}
    for fact, allowed in expected.items():
        if fact not in facts:
            yield f"{fact} is missing"
        elif isinstance(allowed, type):
            # Words must say something; an empty tuple or dict says that there is none.
            if not isinstance(facts[fact], allowed) or facts[fact] == "":
                yield f"{fact} is {facts[fact]!r}"
        elif facts[fact] not in allowed:
            yield f"{fact} is {facts[fact]!r}, not one of {', '.join(allowed)}"


def test_registries_are_found_in_rooms_and_below_them():
    kinds = {registry.kind for registry in REGISTRIES}
    assert {"explainer", "metric", "agreement metric", "concept method", "claim test"} <= kinds
    assert set(FACTS) <= kinds


@per_item
def test_item_states_its_facts(registry, name):
    assert list(wrong_facts(registry.kind, name, registry.facts(name))) == []


@per_item
def test_facts_read_from_the_source_are_those_of_the_class(registry, name):
    item = registry.load(name)
    assert item.__module__ == registry.module(name)
    facts = registry.facts(name)
    assert facts
    assert facts == {fact: getattr(item, fact) for fact in facts}


@per_item
def test_item_has_a_docstring(registry, name):
    assert "__doc__" in vars(registry.load(name))
    assert registry.load(name).__doc__


@pytest.mark.parametrize(
    ("registry", "prefix"), ADAPTERS, ids=[f"{registry.kind}:{p}" for registry, p in ADAPTERS]
)
def test_adapter_can_be_imported(registry, prefix):
    assert callable(registry.load(f"{prefix}.Anything"))


def test_wrong_facts_are_found():
    facts = {"name": "a", "reference": "", **dict.fromkeys(FACTS["metric"], ())}
    del facts["unit"]
    found = list(wrong_facts("metric", "b", facts))
    for fact in ("name is 'a'", "reference is ''", "unit is missing", "direction is ()"):
        assert any(text.startswith(fact) for text in found), found
    assert not any(text.startswith("needs") for text in found)
