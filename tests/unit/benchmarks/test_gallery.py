"""The gallery has every explainer of the catalogue, and shows maps as they are."""

import json
import re
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import yaml
from PIL import Image

from sparsight.study.reference_pages import GALLERY

ROOT = Path(__file__).parents[3]


@pytest.fixture(params=["gallery", "documentation_figures"])
def module(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return __import__(request.param)


def test_every_explainer_of_the_catalogue_is_drawn() -> None:
    catalogue = yaml.safe_load((ROOT / "catalogue" / "explainers.yaml").read_text("utf-8"))
    record = json.loads(GALLERY.read_text(encoding="utf-8"))
    drawn = {
        name: (of["method"], of["parameters"], of["family"])
        for name, of in record["explainers"].items()
    }
    assert drawn == {
        name: (of["method"], of.get("parameters", {}), of["family"])
        for name, of in catalogue["explainers"].items()
    }, "run `make gallery` and commit docs/gallery"
    pictures = {path.stem: path for path in (ROOT / "docs" / "gallery").glob("*.png")}
    assert set(pictures) == set(drawn)
    assert sum(path.stat().st_size for path in pictures.values()) < 1_000_000
    for name, of in record["explainers"].items():
        with Image.open(pictures[name]) as picture:
            # three tiles for each image, on which all that is measured was drawn
            assert round(picture.width / 300) == len(of["subjects"]) > 0
            assert len(picture.getcolors() or ()) > 2
    for of in record["subjects"]:
        assert of["density"] == pytest.approx(0.1, abs=0.001)
        assert min(of["accuracy"]) > 0.3


@pytest.mark.parametrize("module", ["gallery"], indirect=True)
def test_colours_of_a_map(module: ModuleType) -> None:
    values = np.array([[-1.0, 0.0], [0.5, 2.0]], dtype=np.float32)
    signed = np.asarray(module.coloured(values, True), dtype=int)
    # white at 0, light blue below and dark red above, on one scale for both
    assert signed[0, 1].min() >= 254
    blue, red = signed[0, 0], signed[1, 1]
    assert blue[2] > blue[0] > red[0] > red[1]
    unsigned = np.asarray(module.coloured(values, False), dtype=int).sum(axis=2)
    assert unsigned[0, 0] < unsigned[0, 1] < unsigned[1, 0] < unsigned[1, 1]
    assert module.coloured(np.ones((2, 2), dtype=np.float32), False) is None


@pytest.mark.parametrize("module", ["documentation_figures"], indirect=True)
def test_figures_name_rules_that_exist_and_are_drawn_from_a_committed_table(
    module: ModuleType, tmp_path: Path
) -> None:
    rules = {
        name
        for path in (ROOT / "workflow" / "rules").glob("*.smk")
        for name in re.findall(r"^rule (\w+):", path.read_text("utf-8"), re.M)
    }
    named = {name for _, names, _ in module.STAGES for name in names.split()}
    assert named <= rules
    module.draw_stages([tmp_path / "stages.svg"])
    module.draw_terms([tmp_path / "terms.svg"])
    for name in ("stages.svg", "terms.svg"):
        assert (tmp_path / name).stat().st_size > 10_000
