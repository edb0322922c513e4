"""Every registered item states its facts, and says the same when imported as when only read."""

import importlib

from sparsight.registration import REQUIRED, Registry, parameter_problems
from tests.linters.source_files import ROOT, listed, place_of_item

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
        "needs_attention": bool,
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
        "allowed": dict,
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


def differences(registry, name):
    """What the class of an item says otherwise than its source."""
    item, facts = registry.load(name), registry.facts(name)
    if item.__module__ != registry.item(name).module:
        yield f"is in {item.__module__}"
    if not facts:
        yield "states no facts"
    for fact, value in facts.items():
        if getattr(item, fact) != value:
            yield f"{fact} is {getattr(item, fact)!r}, and {value!r} in the source"
    # A fact that is no literal would not be seen when a study is planned.
    for fact in ("allowed", "option_choices"):
        if getattr(item, fact, {}) != facts.get(fact, {}):
            yield f"{fact} is no literal"


def test_items_state_their_facts():
    found = [
        f"{place_of_item(registry, name)}: {what}"
        for registry, name in ITEMS
        for what in wrong_facts(registry.kind, name, registry.facts(name))
    ]
    assert not found, listed(found)


def test_defaults_are_among_the_allowed_values():
    found = []
    for registry, name in ITEMS:
        facts = registry.facts(name)
        defaults = facts.get("parameters", facts.get("option_defaults", {}))
        allowed = facts.get("allowed", facts.get("option_choices", {}))
        given = {key: value for key, value in defaults.items() if value != REQUIRED}
        found += parameter_problems(place_of_item(registry, name), given, given, allowed)
        found += [f"{place_of_item(registry, name)}: {key}" for key in allowed.keys() - defaults]
    assert not found, listed(found)


def test_facts_read_from_the_source_are_those_of_the_class():
    found = [
        f"{place_of_item(registry, name)}: {what}"
        for registry, name in ITEMS
        for what in differences(registry, name)
    ]
    assert not found, listed(found)


def test_items_have_docstrings():
    found = [
        place_of_item(registry, name)
        for registry, name in ITEMS
        if not vars(registry.load(name)).get("__doc__")
    ]
    assert not found, listed(found)


def test_adapters_can_be_imported():
    found = [
        f"{registry.kind} {prefix}: {registry.adapters[prefix]}"
        for registry, prefix in ADAPTERS
        # What builds networks is told a seed, by `build_network`.
        if not callable(getattr(found := registry.load(f"{prefix}.Anything"), "build", found))
    ]
    assert not found, listed(found)


def test_wrong_facts_are_found():
    facts = {"name": "a", "reference": "", **dict.fromkeys(FACTS["metric"], ())}
    del facts["unit"]
    found = list(wrong_facts("metric", "b", facts))
    for fact in ("name is 'a'", "reference is ''", "unit is missing", "direction is ()"):
        assert any(text.startswith(fact) for text in found), found
    assert not any(text.startswith("needs") for text in found)


def test_differences_are_found(tmp_path, monkeypatch):
    text = "class A:\n    'Doc.'\n    cost = 1\n    unit = 'm'\n\n\nA.cost = 2\n"
    (tmp_path / "example_of_an_item.py").write_text(text, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    registry = Registry("example", {"a": "example_of_an_item:A"})
    assert [*differences(registry, "a")] == ["cost is 2, and 1 in the source"]
