"""The project's own configuration, overlaid as an overlay file would."""

from pathlib import Path

import pytest

from sparsight.concepts.registry import CONCEPTS
from sparsight.study.configuration import (
    catalogue_and_study,
    normalise,
    resolve,
)
from sparsight.study.configuration import overlaid as overlaid_by
from sparsight.study.plan import Study

ROOT = Path(__file__).parents[3]
#: the study of config.yaml, with some defaults for tests that look at a part of a configuration
CONFIG = overlaid_by(
    catalogue_and_study(ROOT, own=False),
    {
        "pruners": ["magnitude", "retrain"],
        "agreement": ["spearman"],
        "explaining": {"target": "dense_predicted"},
        "families": {"perturbation": {"images": 100, "levels": 3}},
    },
)

#: concept methods that other tests cannot change
METHODS = '''
from sparsight.concepts.base import ConceptMethod


class Labelled(ConceptMethod):
    """Needs concept labels, and is compared."""

    name = "labelled"
    needs = ("concept_labels",)
    measures = {"accuracy": ("higher", "share", "of f"), "size": ("", "concepts", "how many")}
    comparisons = {"jaccard": ("higher", "0 to 1", "of the first three")}
    parameters = {"strength": 0.5}


class Drawn(ConceptMethod):
    """Has a sheet, needs masks, and its concepts are only numbered."""

    name = "drawn"
    needs = ("masks",)
    measures = {"purity": ("higher", "share", "in the mask")}
    shared_names = False
    sheet = True


class Parted(ConceptMethod):
    """Needs masks of parts."""

    name = "parted"
    needs = ("part_masks",)
    measures = {"detectors": ("", "units", "how many")}
'''


@pytest.fixture(scope="session")
def overlaid():
    """Function from an overlay to the configuration before any check."""
    return lambda overlay=(): normalise(overlaid_by(CONFIG, dict(overlay)))


@pytest.fixture(scope="session")
def problems_of(overlaid):
    """Function from an overlay to the problems of the configuration."""
    return lambda overlay=(): resolve(overlaid(overlay))[1]


@pytest.fixture(scope="session")
def study_of(overlaid):
    """Function from a sound overlay to its study."""

    def study(overlay=()):
        whole, problems = resolve(overlaid(overlay))
        assert problems == []
        return Study(whole)

    return study


@pytest.fixture
def concept_methods(tmp_path, monkeypatch):
    """Three concept methods, registered as `labelled`, `drawn` and `parted`."""
    (tmp_path / "concept_examples.py").write_text(METHODS, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("labelled", "drawn", "parted"):
        target = f"concept_examples:{name.capitalize()}"
        monkeypatch.setitem(CONCEPTS.entries, name, target)


@pytest.fixture
def facts_with(monkeypatch):
    """Function that changes what a registry says of one of its items."""

    def change(registry, item, **facts):
        told = registry.facts
        monkeypatch.setattr(
            registry, "facts", lambda name: {**told(name), **(facts if name == item else {})}
        )

    return change
