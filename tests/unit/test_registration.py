"""Registries: names to classes, late, and facts without importing."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sparsight.registration import Registry, UnknownName

BASES = '''
"""Bases."""


class Base:
    """A base."""

    name = "base"
    unit: str = "share"
    cost: int
    parameters = {"steps": 3, "sizes": (1, 2)}
'''
ITEMS = '''
"""Items, in a module that must not be imported for its facts."""

from {package}.bases import Base
from {package}.bases import Base as Renamed

LIMIT = 5


class Near(Base):
    """From the module's base."""

    name = "near"
    cost: int = 2
    computed = LIMIT + 1
    first, second = 1, 2

    def method(self):
        inside = 1


class Far(Near):
    """Two steps away."""

    cost = 4


class Computed(Near):
    name = "computed"
    cost = LIMIT + 1


class Left:
    side, colour = None, None
    hand = "left"
    only_left = True


class Right:
    hand = "right"
    only_right = True


class Both(Left, Right):
    """Python takes the first base's facts."""


class OfRenamed(Renamed):
    name = "renamed"


def adapter(name, extra=0):
    return name, extra
'''


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A package beside sparsight whose classes a registry can name."""
    import sparsight

    # facts of bases are looked up within sparsight only
    name = f"sparsight.{tmp_path.name}"
    folder = tmp_path / tmp_path.name
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "bases.py").write_text(BASES)
    (folder / "items.py").write_text(ITEMS.replace("{package}", name))
    monkeypatch.setattr(sparsight, "__path__", [*sparsight.__path__, str(tmp_path)])
    yield name
    for module in [m for m in sys.modules if m.startswith(name)]:
        del sys.modules[module]


def registry(package: str) -> Registry:
    """All classes of the package, and an adapter."""
    names = {"near": "Near", "far": "Far", "both": "Both", "renamed": "OfRenamed"}
    entries = {name: f"{package}.items:{attribute}" for name, attribute in names.items()}
    return Registry("metric", entries, {"foreign": f"{package}.items:adapter"})


def test_names_and_membership(package: str) -> None:
    table = registry(package)
    assert table.names() == ["both", "far", "near", "renamed", "foreign.<Class>"]
    assert "near" in table
    assert "foreign.Anything" in table
    for name in ("nearer", "foreign", "foreign.", "other.Near", ""):
        assert name not in table
    assert table.is_foreign("foreign.Anything")
    assert not table.is_foreign("near")
    assert not table.is_foreign("unknown")


def test_a_name_is_loaded_when_asked_for(package: str) -> None:
    table = registry(package)
    assert f"{package}.items" not in sys.modules
    found = table.load("near")
    assert found.__name__ == "Near"
    assert found is table.load("near")
    assert table.item("near").module == f"{package}.items"


def test_a_foreign_name_is_its_adapter_bound_to_the_class(package: str) -> None:
    table = registry(package)
    assert table.load("foreign.Deconvolution")(extra=3) == ("Deconvolution", 3)
    assert table.load("foreign.sub.Class")() == ("sub.Class", 0)
    assert table.item("foreign.Deconvolution").module == f"{package}.items"
    assert table.facts("foreign.Deconvolution") == {}


def test_an_entry_that_contains_a_dot_is_not_foreign(package: str) -> None:
    table = Registry(
        "metric", {"foreign.own": f"{package}.items:Near"}, {"foreign": f"{package}.items:adapter"}
    )
    assert not table.is_foreign("foreign.own")
    assert table.load("foreign.own").__name__ == "Near"


@pytest.mark.parametrize("use", ["load", "facts", "item"])
def test_an_unknown_name_says_which_are_known(package: str, use: str) -> None:
    table = registry(package)
    with pytest.raises(UnknownName) as found:
        getattr(table, use)("neer")
    assert str(found.value) == (
        "unknown metric 'neer'; did you mean 'near'? (known: both, far, near, renamed, "
        "foreign.<Class>)"
    )
    for name in ("zzzzzz", "foreign.", "zzzzzz.Class"):
        with pytest.raises(UnknownName, match=r"<Class>\)$"):
            getattr(table, use)(name)


def test_facts_are_those_of_the_class(package: str) -> None:
    table = registry(package)
    facts = {name: table.facts(name) for name in table.entries}
    assert f"{package}.items" not in sys.modules, "facts must not import"
    for name, found in facts.items():
        loaded = table.load(name)
        assert found, name
        for fact, value in found.items():
            assert getattr(loaded, fact) == value, f"{name}.{fact}"


def test_facts_come_from_bases_too(package: str) -> None:
    table = registry(package)
    base = {"unit": "share", "parameters": {"steps": 3, "sizes": (1, 2)}}
    assert table.facts("near") == {**base, "name": "near", "cost": 2}
    assert table.facts("far") == {**base, "name": "near", "cost": 4}
    assert table.facts("renamed") == {**base, "name": "renamed"}
    assert table.facts("both") == {"hand": "left", "only_left": True, "only_right": True}


def test_a_computed_attribute_hides_the_fact_of_the_base(package: str) -> None:
    table = Registry("metric", {"computed": f"{package}.items:Computed"})
    facts = table.facts("computed")
    assert facts["name"] == "computed"
    assert facts["unit"] == "share"
    assert "cost" not in facts, "the base's cost is not this class's"
    assert table.load("computed").cost == 6


def test_changing_what_was_given_changes_no_fact(package: str) -> None:
    table = registry(package)
    table.facts("near")["parameters"]["steps"] = 99
    table.facts("near")["cost"] = 99
    assert table.facts("near")["parameters"]["steps"] == 3
    assert table.facts("near")["cost"] == 2


def test_a_module_that_is_not_there(package: str) -> None:
    table = Registry("metric", {"lost": f"{package}.nowhere:Near"})
    with pytest.raises(UnknownName, match=r"nowhere"):
        table.facts("lost")


def test_the_tables_given_are_copied() -> None:
    entries = {"a": "module:A"}
    table = Registry("metric", entries)
    entries["b"] = "module:B"
    assert "b" not in table


def test_registries_import_no_heavy_library() -> None:
    # the workflow reads every registry before any job starts
    code = (
        "import sys\n"
        "from sparsight.models.registry import MODELS\n"
        "from sparsight.pruning.registry import CRITERIA\n"
        "assert MODELS.facts('thesis_cnn')['input_shape'] == (1, 28, 28)\n"
        "assert CRITERIA.facts('magnitude')['name'] == 'magnitude'\n"
        "assert not {'torch', 'numpy'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
