"""Forgotten images and harmed classes of hand-made predictions, worked out on paper."""

import numpy as np
import pandas as pd
import pytest

from sparsight.analysis.claims.base import ClaimCurves
from sparsight.analysis.claims.decide import look_at
from sparsight.analysis.claims.images import Checkpoint, Scored, StudyImages
from sparsight.analysis.claims.registry import CLAIMS
from sparsight.analysis.exemplars import find_exemplars, foretelling
from sparsight.analysis.tables import read
from sparsight.io.errors import InputError
from sparsight.io.tables import write_table

LABEL = [0, 0, 0, 1, 1]
#: of five images, by seed and level
PREDICTED = {
    (1, 0): [0, 0, 1, 1, 1],
    (1, 1): [0, 1, 1, 1, 1],
    (1, 2): [1, 0, 1, 1, 1],
    (2, 0): [0, 0, 0, 1, 0],
    (2, 1): [0, 0, 0, 1, 1],
    (2, 2): [0, 1, 0, 1, 1],
}
#: agreement of images 10 and 20 at level 1
AGREEMENT = {1: [0.75, 0.5], 2: [0.25, np.nan]}
ENTRIES = {"digits/cnn": {"explainers": ["cam"], "metrics": ["ssim"]}}


def place(seed, level):
    return Checkpoint("digits", "cnn", "magnitude" if level else "dense", seed, level)


def predict(folder, seed, level, predicted):
    ids = 10 * np.arange(1, len(predicted) + 1)
    path = folder / f"predictions{seed}{level}.parquet"
    columns = {"image_id": ids, "label": np.array(LABEL), "predicted": np.array(predicted)}
    columns |= {"condition": ["clean"] * len(ids), "margin": np.ones(len(ids))}
    write_table(path, columns)
    return path


def agree(folder, seed, level, values):
    count = len(values)
    columns = {name: [value] * count for name, value in place(seed, level)._asdict().items()}
    columns |= {"study": ["demo"] * count, "density": [0.5] * count, "explainer": ["cam"] * count}
    columns |= {"condition": ["clean"] * count, "metric": ["ssim"] * count}
    path = folder / f"agreement{seed}{level}.parquet"
    write_table(path, {**columns, "image_id": [10, 20][:count], "value": np.array(values)})
    return path


@pytest.fixture
def found(tmp_path):
    """Both tables."""
    outputs = tmp_path / "exemplars.parquet", tmp_path / "class_harm.csv"
    predictions = [predict(tmp_path, *key, values) for key, values in PREDICTED.items()]
    agreement = [agree(tmp_path, seed, 1, values) for seed, values in AGREEMENT.items()]
    agreement.append(agree(tmp_path, 1, 2, [0.1, 0.1]))
    settings = {
        "checkpoints": [list(place(*key)) for key in PREDICTED],
        "entries": ENTRIES,
        "confidence": 0.95,
    }
    find_exemplars(predictions, agreement, *outputs, settings)
    return read("exemplars", outputs[0]), read("class_harm", outputs[1])


def test_where_each_image_flips(found):
    rows = found[0][found[0]["explainer"] == ""]
    by_level = {level: part.set_index("image_id") for level, part in rows.groupby("level")}
    assert sorted(by_level) == [1, 2]
    # a prediction that flips back stays flipped
    assert by_level[1]["flipped"].tolist() == [0, 0.5, 0, 0, 0.5]
    assert by_level[2]["flipped"].tolist() == [0.5, 1, 0, 0, 0.5]
    assert by_level[2]["flips"].tolist() == [0.5, 0.5, 0, 0, 0]
    for part in by_level.values():
        assert part["first_flips"].tolist() == ["2;", "1;2", ";", ";", ";1"]
        assert part["label"].tolist() == LABEL
        assert set(part["n_seeds"]) == {2}
        assert part["drift"].isna().all()


def test_drift_is_that_of_the_level_before(found):
    rows = found[0][found[0]["explainer"] == "cam"]
    # level 1 follows dense explanations, which have not moved; nothing follows level 2
    assert rows["level"].tolist() == [2, 2]
    assert rows["image_id"].tolist() == [10, 20]
    assert rows["drift"].tolist() == [0.5, 0.5]
    assert rows["first_flips"].tolist() == ["2;", "1;2"]


def test_harm_is_the_loss_beyond_that_of_the_accuracy(found):
    rows = found[1].set_index(["label", "level"])
    # class 0: right in 2, 1, 1 and in 3, 3, 2 of three; class 1: in 2, 2, 2 and 1, 2, 2 of two
    assert rows["recall"].to_numpy() == pytest.approx([5 / 6, 4 / 6, 3 / 6, 3 / 4, 1, 1])
    assert rows["n_images"].tolist() == [3, 3, 3, 2, 2, 2]
    assert rows.loc[(0, 1), "change"] == pytest.approx(-1 / 6)
    # accuracy: 4, 3, 3 and 4, 5, 4 of five
    assert rows.loc[(0, 1), "accuracy_change"] == pytest.approx(0)
    assert rows.loc[(0, 2), "accuracy_change"] == pytest.approx(-1 / 10)
    assert rows.loc[(0, 2), "relative_change"] == pytest.approx(-1 / 3 + 1 / 10)
    assert rows.loc[(1, 2), "relative_change"] == pytest.approx(1 / 4 + 1 / 10)
    assert rows.loc[[(0, 0), (1, 0)], ["change", "relative_change", "p"]].isna().all(axis=None)
    assert rows.loc[(0, 2), "relative_change_low"] < rows.loc[(0, 2), "relative_change"]


# ------------------------------------------------------------------------------- foretelling flips


def test_area_under_the_curve_on_paper():
    happens = np.array([True, False, True, False, False, True])
    scores = np.array([0.9, 0.1, 0.4, 0.4, 0.2, np.nan])
    area, without = foretelling(scores, happens)
    # of six pairs five are in order, and one is tied
    assert area == pytest.approx(5.5 / 6)
    assert without == pytest.approx([2.5 / 3, 3.5 / 4, 1, 1, 3.5 / 4, 5.5 / 6])


@pytest.mark.parametrize("kind", [True, False])
def test_one_image_of_a_kind_is_too_few(kind):
    happens = np.array([kind, not kind, not kind])
    area, without = foretelling(np.array([0.1, 0.2, 0.3]), happens)
    assert np.isnan([area, *without]).all()


IMAGES = 400


def study_of(drift_of, seeds=(1, 2, 3, 4, 5)):
    """Networks of which a quarter of the images flips at level 1, and another one at level 2."""
    rng = np.random.default_rng(0)
    ids, label = np.arange(IMAGES), np.arange(IMAGES) % 2
    predictions, scores = {}, {}
    for seed in seeds:
        flips = rng.permutation(np.arange(IMAGES) % 4)
        predicted = [label, np.where(flips == 1, 9, label), np.where(flips == 2, 9, label)]
        for level, values in enumerate(predicted):
            frame = pd.DataFrame({"label": label, "predicted": values, "margin": 1.0}, index=ids)
            frame["correct"] = frame["predicted"] == label
            predictions[place(seed, level)] = {"clean": frame}
        drift = drift_of(rng, flips)
        empty = np.zeros(IMAGES, dtype=bool)
        scores[place(seed, 1), "clean", "cam", "ssim"] = Scored(ids, 1.0 - drift, empty)
    return StudyImages(scores, predictions, {})


def claim(**keys):
    found = {"name": "a", "claim": "It is so.", "test": "drift_foretells_flip", "levels": [1, 1]}
    found |= {"dataset": "digits", "model": "cnn", "pruner": "magnitude", "condition": "clean"}
    return {**found, "explainer": "cam", "metric": "ssim", "smallest": 0.05, **keys}


def decided(drift_of, **keys):
    asked = claim(**keys)
    test = CLAIMS.load(asked["test"])(asked)
    return look_at(test, ClaimCurves(study_of(drift_of), asked))


def informative(rng, flips):
    """Highest before a flip; higher still in what has flipped, which does not count."""
    return np.where(flips == 1, 2.0, np.where(flips == 2, 0.9, 0.1)) + 0.01 * rng.random(IMAGES)


def test_drift_that_is_informative_has_an_area_of_one():
    found = decided(informative)
    assert found.estimate.value == pytest.approx(0.5)
    assert "5 areas of 5" in found.evidence.remark
    turned = decided(lambda rng, flips: 1.0 - informative(rng, flips), expected="negative")
    assert turned.estimate.value == pytest.approx(-0.5)


def test_drift_without_information_has_chance():
    same = decided(lambda rng, flips: np.full(IMAGES, 0.3))
    assert same.estimate.value == pytest.approx(0.0)
    drawn = decided(lambda rng, flips: rng.random(IMAGES))
    assert abs(drawn.estimate.value) < 0.05
    low, high = drawn.estimate.interval(0.95)
    assert low < 0 < high


def test_the_estimate_is_the_mean_of_the_areas():
    def some(rng, flips):
        return (flips == 2) * 0.3 + rng.random(IMAGES)

    study = study_of(some)
    curves = ClaimCurves(study, claim())
    areas = curves.foretelling("cam", "ssim", 1).values
    assert (areas > 0.6).all()
    assert decided(some).estimate.value == pytest.approx(areas.mean() - 0.5)
    assert decided(some).decide(0.05).verdict == "supported"


def test_a_level_without_explanations_has_no_area():
    with pytest.raises(InputError):
        decided(informative, levels=[2, 2])
