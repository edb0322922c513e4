"""What the scripts of an atlas hold."""

import base64
import io
import json
import re

import numpy as np
import pytest
from PIL import Image

from sparsight.atlas.write import write_atlas
from sparsight.io.errors import InputError
from tests.unit.atlas.conftest import maps_at

# In the order of the evaluation subset.
IN_ORDER = [11, 10, 12]
ROWS = [1, 0, 2]
DENSE, FIRST, RETRAINED = 0, 1, 4


def received(atlas, key):
    """What a script hands to the page."""
    text = (atlas / "data" / f"{key}.js").read_text(encoding="utf-8")
    found = re.fullmatch(r'atlas\.receive\("(.*?)",(.*)\);\n', text, re.DOTALL)
    assert found[1] == key
    return json.loads(found[2])


def test_the_study_names_images_checkpoints_and_explainers(atlas):
    study = received(atlas, "study")
    (network,) = study["networks"]
    places = [(one["pruner"], one["level"]) for one in network["checkpoints"]]
    assert places == [("dense", 0), ("p", 1), ("p", 2), ("q", 1), ("retrain", 1)]
    assert network["checkpoints"][2]["seeds"]["1"]["density"] == 0.1
    assert network["checkpoints"][2]["seeds"]["1"]["accuracy"] == {"clean": 0.3333}
    assert study["datasets"]["shapes"]["image_ids"] == IN_ORDER
    assert study["datasets"]["shapes"]["labels"] == [1, 0, 1]
    explainers = {one["name"]: (one["signed"], one["control"]) for one in network["explainers"]}
    assert explainers == {"cam": (False, False), "gradient": (True, False), "edges": (False, True)}


def test_predictions_and_agreement_stand_by_checkpoint_and_image(atlas):
    overview = received(atlas, "networks/0/1/clean")
    assert overview["predicted"][2] == [0, 0, 0]
    assert overview["predicted"][DENSE] == [1, 0, 1]
    assert overview["probability"][FIRST] == [0.8, 0.9, 0.7]
    spearman = overview["agreement"]["cam"]["spearman"]
    assert spearman["at"][DENSE] is None
    assert spearman["at"][FIRST] == [-0.5, 0.9, None]
    assert spearman["floor"]["retrain"] == [[0.5, 0.6, 0.4], [0.5, 0.6, 0.4]]


@pytest.mark.parametrize(("explainer", "shift"), [("cam", 0.0), ("gradient", -5.0)])
def test_maps_come_back_from_their_sprite(atlas, explainer, shift):
    sprite = received(atlas, "networks/0/1/clean/0")["maps"][explainer]
    data = base64.b64decode(sprite["source"].partition(",")[2])
    pixels = np.asarray(Image.open(io.BytesIO(data)))[..., 0].astype(float)
    for image, row in enumerate(ROWS):
        for column, place in enumerate((("dense", 0), ("p", 1), ("p", 2))):
            scale = sprite["scale"][image][column]
            exact = maps_at(*place)[row].numpy() + shift
            if len(scale) == 1:
                assert scale == [exact.max()] == [exact.min()]
                continue
            cell = image * sprite["of"] + column
            top, left = (4 * part for part in divmod(cell, sprite["columns"]))
            found = pixels[top : top + 4, left : left + 4]
            low, high = scale
            if explainer == "cam":
                back = low + (high - low) * found / 255
            else:
                back = max(-low, high) * (found - 128) / 127
            np.testing.assert_allclose(back, exact, atol=0.05)


def test_a_control_has_one_map_for_all_checkpoints(atlas):
    controls = received(atlas, "networks/0/controls/clean/0")
    assert {name: sprite["of"] for name, sprite in controls.items()} == {"edges": 1}
    assert "edges" not in received(atlas, "networks/0/1/clean/0")["maps"]


def test_libraries_come_with_their_licences(atlas):
    names = {path.name for path in (atlas / "vendor").iterdir()}
    assert names == {"d3.min.js", "plot.umd.min.js", "LICENSE-d3", "LICENSE-plot"}
    text = (atlas / "index.html").read_text(encoding="utf-8")
    assert "http:" not in text
    assert "https:" not in text


def test_a_study_without_maps_is_refused(files, tmp_path):
    found, settings = files
    with pytest.raises(InputError, match="explains no image"):
        write_atlas(found._replace(explanations={}), tmp_path / "atlas", settings)
    assert not (tmp_path / "atlas").exists()


def test_concepts_come_with_weights_and_crops_by_checkpoint(atlas):
    found = received(atlas, "concepts/0/1/craft")
    assert [one is None for one in found] == [False, True, False, True, True]
    assert [one["name"] for one in found[0]["classes"]] == ["disc", "cross"]
    assert found[2]["classes"][1]["concepts"] == [
        {"name": "cross_p_1", "weight": 1.0},
        {"name": "cross_p_2", "weight": 0.5},
    ]
    sprite = found[0]["sprite"]
    data = base64.b64decode(sprite["source"].partition(",")[2])
    pixels = np.asarray(Image.open(io.BytesIO(data)))
    assert found[0]["crops"] == 2
    middles = [int(pixels[3, 6 * place + 3, 0]) for place in range(8)]
    np.testing.assert_allclose(middles, np.arange(1, 9) * 30, atol=12)
