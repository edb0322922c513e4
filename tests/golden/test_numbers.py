"""Numbers do not change unless a version is raised.

Fails with the version to raise. After raising it, record the new numbers: `make golden`.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.golden.numbers import item_numbers, module_of, platform, stage_numbers, write
from tests.workflow.project import Project

ROOT = Path(__file__).parents[2]
RECORDED = Path(__file__).with_name("numbers.json")
#: relative tolerance on the platform of the record; elsewhere sums are made in another order
HERE, ELSEWHERE = 1e-6, 1e-3
#: training makes more of rounding: weights are compared loosely elsewhere, and what follows from
#: them (which images are right, correlations over three levels) is not
LOOSE_ELSEWHERE = {"packing": ELSEWHERE, "training": 0.2}
#: solvers of concept methods stop within a tolerance of their own
FITTED_ELSEWHERE = 1e-2


@pytest.fixture(scope="module")
def now(finished_once: Project, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    packed = finished_once.folder / "data" / "packed" / "digits" / "test.safetensors"
    folder = tmp_path_factory.mktemp("items")
    stages = stage_numbers(finished_once.folder)
    return {"stages": stages, "items": item_numbers(ROOT, packed, folder)}


@pytest.fixture(scope="module")
def recorded(now: dict[str, Any], request: pytest.FixtureRequest) -> dict[str, Any]:
    before: dict[str, Any] = json.loads(RECORDED.read_text()) if RECORDED.is_file() else {}
    if request.config.getoption("--record-golden"):
        if before:
            assert not unexplained(before, now)
        write(RECORDED, now)
        return json.loads(RECORDED.read_text())
    return before


def changed(before: dict[str, Any], after: dict[str, Any], tolerance: float) -> list[str]:
    """Names of the numbers that differ by more than the tolerance of their largest."""
    old, new = before["numbers"], after["numbers"]
    found = sorted(old.keys() ^ new.keys())
    for name in old.keys() & new.keys():
        a, b = np.array(old[name]), np.array(new[name])
        # Projections of values that cancel are small beside the values themselves.
        scale = max(np.abs(a[2:]).max(initial=0), 1e-12)
        if a.shape != b.shape or (a[:2] != b[:2]).any() or np.abs(a - b).max() > tolerance * scale:
            found.append(name)
    return sorted(found)


def unexplained(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """What changed though its version did not: of stages, the first; of items, all."""
    same = before["platform"] == platform()
    found = []
    for stage, new in after["stages"].items():
        old = before["stages"].get(stage)
        if old is None or not (same or stage in LOOSE_ELSEWHERE):
            continue
        names = changed(old, new, HERE if same else LOOSE_ELSEWHERE[stage])
        if names:
            if old["version"] == new["version"]:
                found.append(f"{stage} ({names[0]}): raise {module_of(stage)}")
            # What follows takes these numbers as its input.
            break
    for item, new in after["items"].items():
        old = before["items"].get(item)
        if old is None or old["version"] != new["version"]:
            continue
        # An item that was added later may have been recorded on another platform.
        here = old.get("platform", before["platform"]) == platform()
        elsewhere = FITTED_ELSEWHERE if item.startswith("concept method") else ELSEWHERE
        if changed(old, new, HERE if here else elsewhere):
            found.append(f"{item}: raise {module_of(item)}")
    return found


def test_numbers_change_with_versions_only(recorded: dict[str, Any], now: dict[str, Any]) -> None:
    assert not unexplained(recorded, now)


def test_versions_are_those_of_the_record(recorded: dict[str, Any], now: dict[str, Any]) -> None:
    def versions(numbers: dict[str, Any]) -> dict[str, Any]:
        parts = {**numbers["stages"], **numbers["items"]}
        return {name: part["version"] for name, part in parts.items()}

    assert versions(now) == versions(recorded), "record the new numbers: make golden"


def test_a_change_without_a_raised_version_is_named(now: dict[str, Any]) -> None:
    """The guard itself: it names what changed, and stays quiet where the version was raised."""
    text = json.dumps(now)
    before = {"platform": platform(), **json.loads(text)}
    assert not unexplained(before, json.loads(text))
    for group, name, where in (
        ("stages", "scoring", "sparsight.metrics.run"),
        ("items", "metric gini_sparseness", "GiniSparseness"),
    ):
        after = json.loads(text)
        numbers = after[group][name]["numbers"]
        first = next(key for key in numbers if len(numbers[key]) > 2 and numbers[key][3])
        numbers[first][2] += 1e-3 * max(abs(value) for value in numbers[first][2:])
        (problem,) = unexplained(before, after)
        assert name in problem
        assert where in problem
        after[group][name]["version"] = "raised"
        assert not unexplained(before, after)


def test_elsewhere_rounding_is_no_change(now: dict[str, Any]) -> None:
    text = json.dumps(now)
    before = {"platform": "another", **json.loads(text)}
    after = json.loads(text)
    numbers = after["items"]["metric gini_sparseness"]["numbers"]["values"]
    numbers[2] *= 1 + 1e-5
    assert not unexplained(before, after)
    numbers[2] *= 1.1
    assert unexplained(before, after)
