"""A base and a trojan in the catalogue."""

import copy

import pytest

from sparsight.study.configuration import source_items, with_bases, without_mirrors
from sparsight.study.settings import RuleSettings

TROJAN = {"stickers": {"smiley": 1}}
OTHER = {"source": "imagenette", "options": {"size": 64, "mirrors": ["a"]}, "subset_seed": 3}


def configuration(**datasets: object) -> dict:
    return {"study": "s", "catalogue": {"models": {}, "datasets": {"other": OTHER, **datasets}}}


def test_a_base_becomes_source_and_options() -> None:
    given = configuration(new={"base": "other", "trojan": TROJAN, "noise": {"maximum": 0}})
    before = copy.deepcopy(given)
    found, problems = with_bases(given)
    assert given == before
    assert problems == []
    assert found["catalogue"]["datasets"] == {
        "other": {**OTHER, "noise": {"maximum": 0, "seed": 0}},
        "new": {
            "source": "trojaned",
            "options": {
                "base": {"source": "imagenette", "options": OTHER["options"]},
                "trojan": TROJAN,
            },
            "noise": {"maximum": 0},
            "subset_seed": 3,
        },
    }
    assert with_bases(found) == (found, [])


@pytest.mark.parametrize(
    ("entry", "sentence"),
    [
        ({"base": "othr", "trojan": TROJAN}, "datasets.new.base names the unknown data set 'othr'"),
        ({"base": "new", "trojan": TROJAN}, "new.base: new has a trojan itself; name a data set"),
    ],
)
def test_bases_that_cannot_be(entry: dict, sentence: str) -> None:
    given = configuration(new=entry)
    whole, (found,) = with_bases(given)
    assert sentence in found
    assert whole["catalogue"]["datasets"]["new"] == entry


def test_a_trojan_in_a_trojan() -> None:
    raw = {"source": "trojaned", "options": {}}
    _, (found,) = with_bases(configuration(raw=raw, new={"base": "raw", "trojan": TROJAN}))
    assert "raw has a trojan itself" in found


def test_sentences_before_any_job_starts(problems_of) -> None:
    def problems(**entry: object) -> list[str]:
        return problems_of({"datasets": ["new"], "catalogue": {"datasets": {"new": entry}}})

    (found,) = problems(base="shapes", trojan={**TROJAN, "share": 2})
    assert found.startswith("catalogue.datasets.new.trojan.share is 2, but must be")
    (found,) = problems(base="shapes")
    assert found.startswith("'trojan' is missing at catalogue.datasets.new")
    (found,) = problems(trojan=TROJAN)
    assert found.startswith("'source' is missing at catalogue.datasets.new")
    (found,) = problems(source="shapes", trojan=TROJAN)
    assert found.startswith("'base' is missing at catalogue.datasets.new")
    for more in ({"source": "mnist"}, {"options": {"a": 1}}):
        (found,) = problems(base="shapes", trojan=TROJAN, **more)
        assert found.startswith(f"catalogue.datasets.new: base conflicts with {next(iter(more))}")
    (found,) = problems(base="shape", trojan=TROJAN)
    assert "names the unknown data set 'shape'; did you mean 'shapes'" in found
    (found,) = problems(base="shapes", trojan={"stickers": {"smiley": "cow"}})
    assert found.startswith("catalogue.datasets.new.options: 'trojan: stickers: smiley' must be")
    (found,) = problems(base="shapes", trojan={"stickers": {"frog": 1}})
    assert "names the unknown sticker 'frog'" in found
    options = {"base": {"source": "shapes", "options": {"sise": 3}}, "trojan": TROJAN}
    (found,) = problems(source="trojaned", options=options)
    assert "'base: options' has an unknown key 'sise'" in found


def test_settings_hold_the_base_and_not_its_mirrors(study_of) -> None:
    mirrored = {"source": "imagenette", "options": {"variant": 160, "mirrors": ["https://x.org/"]}}
    new = {"base": "mirrored", "trojan": TROJAN, "subset_seed": 4}
    study = study_of({"catalogue": {"datasets": {"mirrored": mirrored, "new": new}}})
    rules = RuleSettings(study)
    base = {"source": "imagenette", "options": {"variant": 160}}
    assert rules.packing("new") == {
        "source": "trojaned",
        "base": base,
        "trojan": TROJAN,
        "noise": {"maximum": 0, "seed": 0},
        "subset_seed": 4,
    }
    assert rules.fetching("new")["base"]["options"]["mirrors"] == ["https://x.org/"]
    assert [item.name for item in rules.dataset_items("new")] == ["trojaned", "imagenette"]
    assert [item.name for item in rules.dataset_items("mirrored")] == ["imagenette"]


def test_items_and_mirrors_of_default_options() -> None:
    items = source_items({"source": "trojaned", "options": {}})
    assert [item.name for item in items] == ["trojaned", "shapes"]
    assert without_mirrors({"mirrors": [], "base": {"source": "mnist"}, "a": 1}) == {
        "base": {"source": "mnist"},
        "a": 1,
    }
