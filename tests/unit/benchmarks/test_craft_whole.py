"""The benchmark of all of CRAFT, on a few images."""

from pathlib import Path
from types import ModuleType

import pytest
import torch


@pytest.fixture
def craft_whole(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The benchmark; its folder is no package."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[3] / "benchmarks"))
    import craft_whole

    return craft_whole


def test_both_find_the_same_and_are_timed(craft_whole):
    (row,) = craft_whole.rows(pairs=1)
    assert row.name == "the whole of CRAFT, 30 images of a class, 10 concepts"
    assert row.ours > 0
    assert row.ratio == pytest.approx(row.other / row.ours)


@pytest.mark.parametrize("part", ["basis", "importances", "maps"])
def test_other_findings_are_not_timed(craft_whole, part):
    shares = torch.tensor([0.2, 0.8])
    found = craft_whole.Found(torch.eye(2), shares, torch.ones(1, 2, 2, 2))
    craft_whole._check(found, found)
    other = found._replace(**{part: getattr(found, part) + 0.1})
    with pytest.raises(AssertionError, match=f"the {part[:3]}"):
        craft_whole._check(found, other)
