"""The sentence with which the demo ends."""

import pandas as pd
import pytest

from sparsight.analysis.results import load_results
from sparsight.io.files import write_json
from sparsight.study.headline import headline, main
from tests.tables import write_rows

NAMES = {"dataset": "digits", "model": "cnn", "condition": "noisy", "metric": "spearman"}


def agreement(explainer, mean, pruner="retrain", **more):
    row = {
        **NAMES,
        "explainer": explainer,
        "pruner": pruner,
        "level": 1,
        "density": 1.0,
        "bits": 32,
    }
    return {**row, "seed": "mean", "subset": "all", "mean": mean, **more}


def image(image_id, level, drift, flips=0.5, explainer="cam"):
    row = {**NAMES, "explainer": explainer, "pruner": "magnitude", "image_id": image_id}
    return {**row, "level": level, "flips": flips, "drift": drift, "n_seeds": 2}


@pytest.fixture
def said(tmp_path):
    def of(floors=(), images=(), claims=(), explainers=("cam", "saliency")):
        for name, rows in (("agreement", floors), ("exemplars", images), ("claims", claims)):
            if rows:
                write_rows(name, tmp_path / f"{name}.parquet", pd.DataFrame(rows))
        catalogue = {
            "explainers": {"cam": {"method": "grad_cam", "parameters": {"layer": "conv2"}}}
        }
        settings = {"explainers": list(explainers), "catalogue": catalogue}
        write_json(tmp_path / "provenance.json", {"settings": settings})
        return headline(load_results(tmp_path))

    return of


def test_maps_that_moved_further_than_retraining_moves_them(said):
    """The floor is .8, a drift of .2: of four images that flip after level 1, two drift further."""
    images = [
        image(1, 2, drift=0.3),
        image(1, 3, drift=0.1),  # another network flips later: the image counts once, by the first
        image(2, 3, drift=0.25),
        image(3, 2, drift=0.1),
        image(4, 4, drift=0.15),
        image(5, 1, drift=0.9),  # there is no level before
        image(6, 2, drift=0.9, flips=0),
        image(7, 2, drift=0.9, explainer="saliency"),
    ]
    floors = [agreement("saliency", 0.1), agreement("cam", 0.8)]
    floors += [agreement("cam", 0.1, density=0.5), agreement("cam", 0.1, bits=8)]
    assert said(floors, images) == (
        "On digits, pruning flips the prediction of 4 explained images at level 2 or later in at "
        "least one of 2 networks; at the level before, the Grad-CAM at conv2 map of 2 of them had "
        "already moved further from that of the dense network than retraining alone moves maps on "
        "average (spearman)."
    )


def test_without_flips_floors_or_claims(said):
    floors = [agreement("cam", 0.8)]
    assert "flips the prediction of no explained image of digits" in said(
        floors, [image(1, 1, 0.5)]
    )


def test_without_a_floor_the_first_verdict(said):
    claims = [{"name": "a", "claim": "It holds.", "verdict": "open"}, {"name": "b"}]
    control = [agreement("cam", 0.8, control=True)]
    assert said(control, [image(1, 2, 0.5)], claims) == "It holds. Verdict: open."


def test_bad_input_is_one_sentence(tmp_path):
    with pytest.raises(SystemExit, match="holds no tables of a study"):
        main([str(tmp_path)])
    with pytest.raises(SystemExit, match="usage"):
        main([])
