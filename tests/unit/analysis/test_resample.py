"""Means over subsets of images and in draws of images, from files of scores and predictions."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sparsight.analysis.curves import read_curves, read_explainers
from sparsight.analysis.resample import (
    SUBSETS,
    describe_subsets,
    members_of_subsets,
    resample_chain,
)
from sparsight.analysis.scores import (
    ScoreFile,
    describe_scores,
    load_dense_correct,
    load_scores,
    open_database,
)
from sparsight.analysis.statistics import draw_counts, replicate_means
from sparsight.io.errors import InputError
from sparsight.io.tables import read_table, write_table

IMAGES = np.arange(0, 120, 3)
CONDITIONS = ("clean", "noisy")
SETTINGS = {
    **{"study": "demo", "dataset": "digits", "model": "cnn", "pruner": "magnitude", "seed": "1"},
    "levels": [0, 1, 2],
    "statistics": {"replicates": 30, "bootstrap_seed": 5, "confidence": 0.95},
    "reducers": {"road": "mean"},
}
# family to its explainers and the images that it explains
FAMILIES = {"cam": (("cam", "layer_cam"), IMAGES), "controls": (("edges",), IMAGES[::2])}


class Chain:
    """A dense network and two levels with made-up predictions and scores."""

    def __init__(self, folder: Path, seed: int = 1, pruner: str = "magnitude") -> None:
        self.folder, self.seed, self.pruner = folder, seed, pruner
        self.rng = np.random.default_rng([seed, len(pruner)])
        self.label = np.arange(len(IMAGES)) % 4
        self.predictions: list[Path] = []
        self.scores: list[Path] = []
        self.right: list[dict[str, np.ndarray]] = []
        for level in range(3):
            self._predict(level)
            self.scores += [self._score(level, family) for family in FAMILIES]

    def _predict(self, level: int) -> None:
        right = {c: self.rng.random(len(IMAGES)) < 0.85 - 0.1 * level for c in CONDITIONS}
        self.right.append(right)
        # shuffled: nothing may rest on the order of a file
        order = self.rng.permutation(len(IMAGES))
        columns = [
            (
                IMAGES[order],
                np.full(len(order), condition),
                self.label[order],
                np.where(found, self.label, (self.label + 1) % 4)[order],
                self.rng.random(len(order)),
            )
            for condition, found in right.items()
        ]
        names = ("image_id", "condition", "label", "predicted", "margin")
        path = self.folder / f"predictions{level}.parquet"
        write_table(
            path,
            {n: np.concatenate(c) for n, c in zip(names, zip(*columns, strict=True), strict=True)},
        )
        self.predictions.append(path)

    def _score(self, level: int, family: str) -> Path:
        explainers, images = FAMILIES[family]
        place = np.searchsorted(IMAGES, images)
        parts = []
        for explainer in explainers:
            for condition in CONDITIONS:
                for metric, step in (("iou", -1), ("road", 0), ("road", 10)):
                    value = self.rng.random(len(images))
                    value[self.rng.random(len(images)) < 0.1] = np.nan
                    parts.append(
                        pd.DataFrame(
                            {
                                **{"explainer": explainer, "condition": condition},
                                **{"metric": metric, "step": step, "image_id": images},
                                "correct": self.right[level][condition][place],
                                "value": value.astype(np.float32),
                            }
                        )
                    )
        frame = pd.concat(parts).sample(frac=1, random_state=level)
        frame = frame.assign(
            **{name: SETTINGS[name] for name in ("study", "dataset", "model")},
            **{"pruner": self.pruner if level else "dense", "seed": self.seed, "level": level},
            **{"density": 0.8**level, "target": 0, "label": 0, "predicted": 0, "empty": False},
        )
        path = self.folder / f"scores{level}_{family}.parquet"
        write_table(path, {name: frame[name].to_numpy() for name in frame})
        return path

    def resample(self, output: str = "statistics.parquet", **changes):
        path = self.folder / output
        settings = {**SETTINGS, "seed": str(self.seed), "pruner": self.pruner, **changes}
        resample_chain(self.scores, self.predictions, self.predictions[0], path, settings)
        return path


@pytest.fixture
def chain(tmp_path):
    return Chain(tmp_path)


def described(chain: Chain) -> pd.DataFrame:
    """The rows of `summarise` for the same files."""
    rows = []
    with open_database("200MB", chain.folder, {"road": "mean"}) as database:
        files = [ScoreFile.open(path) for path in chain.scores]
        load_dense_correct(database, [file for file in files if file.level == 0])
        for file in files:
            load_scores(database, file)
            found = describe_scores(database, file)
            rows.append(found.assign(level=file.level, density=file.density))
    return pd.concat(rows)


def test_the_numbers_are_those_of_the_table_of_levels(chain):
    keys = ["explainer", "condition", "metric", "subset", "level"]
    whole = read_curves([chain.resample()]).frame
    found = whole[whole["subset"].isin(["all", "correct_at_both"]) & (whole["explainer"] != "")]
    wanted = described(chain).sort_values(keys, ignore_index=True)
    columns = [*keys, "n", "undefined", "mean", "density"]
    assert len(wanted) == 3 * 3 * 2 * 2 * 2
    pd.testing.assert_frame_equal(
        found[columns].sort_values(keys, ignore_index=True),
        wanted[columns],
        check_dtype=False,
        rtol=1e-12,
    )
    assert wanted["undefined"].gt(0).any()


def test_rows_are_complete_and_sorted(chain):
    curves = read_curves([chain.resample()])
    frame = curves.frame
    keys = ["explainer", "condition", "metric", "subset", "level"]
    # accuracy: 3 levels x 2 conditions; 3 explainers x 2 conditions x 2 metrics x 7 subsets x 3;
    # changes from dense at 2 levels
    assert len(frame) == 6 + 3 * 2 * 2 * 7 * 3 + 3 * 2 * 2 * 2
    assert not frame.duplicated(keys).any()
    pd.testing.assert_frame_equal(frame, frame.sort_values(keys, ignore_index=True))
    assert set(frame.loc[frame["level"] == 0, "checkpoint_pruner"]) == {"dense"}
    assert set(frame.loc[frame["level"] > 0, "checkpoint_pruner"]) == {"magnitude"}
    assert set(frame["pruner"]) == {"magnitude"}
    assert frame["density"].to_numpy() == pytest.approx(0.8 ** frame["level"].to_numpy())


def test_accuracy_is_over_all_test_images(chain):
    curves = read_curves([chain.resample()], [""])
    counts = draw_counts(IMAGES, 30, 5)
    for row, replicates in zip(curves.frame.itertuples(), curves.replicates, strict=True):
        right = chain.right[row.level][row.condition]
        assert (row.n, row.undefined, row.metric, row.subset) == (40, 0, "accuracy", "all")
        assert row.mean == pytest.approx(right.mean())
        assert replicates == pytest.approx(counts @ right / 40)


def test_strata_are_those_of_the_dense_network_at_every_level(chain):
    frame = read_curves([chain.resample()], ["edges"]).frame
    dense = read_table(chain.predictions[0]).to_pandas()
    dense = dense[(dense["condition"] == "clean") & dense["image_id"].isin(IMAGES[::2])]
    hard = dense.sort_values(["margin", "image_id"])["image_id"].iloc[:7]
    for level in range(3):
        table = read_table(chain.folder / f"scores{level}_controls.parquet").to_pandas()
        mine = table[(table["metric"] == "iou") & (table["condition"] == "clean")]
        wanted = mine.loc[mine["image_id"].isin(hard), "value"].mean()
        found = frame.query("metric == 'iou' and condition == 'clean' and subset == 'hard'")
        assert found.loc[found["level"] == level, "mean"].tolist() == pytest.approx([wanted])


def test_a_family_on_fewer_images_uses_their_columns_of_the_draw(chain):
    path = chain.resample()
    curves = read_curves([path], ["edges"])
    frame = curves.frame
    chosen = (frame["metric"] == "iou") & (frame["subset"] == "all") & (frame["level"] == 1)
    row = np.flatnonzero(chosen & (frame["condition"] == "noisy"))[0]
    table = read_table(chain.folder / "scores1_controls.parquet").to_pandas()
    mine = table[(table["metric"] == "iou") & (table["condition"] == "noisy")]
    values = mine.set_index("image_id")["value"].reindex(IMAGES).to_numpy()
    # images that the family leaves out are undefined for it
    expected = replicate_means(draw_counts(IMAGES, 30, 5), values[:, np.newaxis])
    assert curves.replicates[row] == pytest.approx(expected[:, 0], rel=1e-5)
    assert read_explainers([path]) == ["cam", "edges", "layer_cam"]


def test_seeds_and_pruners_meet_the_same_draw(chain, tmp_path):
    for name, kept in (("other", {"seed": 2}), ("random", {"pruner": "random"})):
        (tmp_path / name).mkdir()
        other = Chain(tmp_path / name, **kept)
        # the same dense network, otherwise another chain
        for old, new in zip(chain.scores[:2], other.scores[:2], strict=True):
            table = read_table(old)
            columns = {n: table[n] for n in table.column_names}
            write_table(new, {**columns, "seed": np.full(table.num_rows, other.seed)})
        other.predictions[0] = chain.predictions[0]
        one, two = (read_curves([c.resample()]) for c in (chain, other))
        dense = (one.frame["level"] == 0).to_numpy()
        assert np.array_equal(one.replicates[dense], two.replicates[dense], equal_nan=True)
        assert not np.array_equal(one.replicates[~dense], two.replicates[~dense], equal_nan=True)


def test_the_bytes_do_not_depend_on_the_order_of_the_files(chain):
    first = chain.resample("one.parquet").read_bytes()
    chain.scores.reverse()
    assert chain.resample("two.parquet").read_bytes() == first


def test_a_level_without_scores_still_has_its_accuracy(chain):
    chain.scores = [path for path in chain.scores if "scores1" not in path.name]
    frame = read_curves([chain.resample()]).frame
    rows = frame[frame["level"] == 1]
    assert set(rows["explainer"]) == {""}
    assert rows["density"].isna().all()
    assert frame[frame["level"] != 1]["density"].notna().all()


def altered(path: Path, **columns) -> None:
    table = read_table(path)
    whole = {name: table[name].to_numpy(zero_copy_only=False) for name in table.column_names}
    for name, change in columns.items():
        whole[name] = change(whole[name]) if callable(change) else np.full(len(table), change)
    write_table(path, whole)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": 9}, "has seed '9' where the chain has '1'"),
        ({"pruner": "random"}, "has pruner 'random' where the chain has 'magnitude'"),
        ({"level": 7}, "level 7, whose predictions are not given"),
        ({"density": 0.5}, "different densities"),
        ({"condition": "rotated"}, "condition 'rotated'"),
        ({"correct": np.logical_not}, "disagree on which images"),
        ({"image_id": lambda ids: ids + 1}, "scores image 1, which its network was not"),
        ({"explainer": "layer_cam"}, "both score the explainer 'layer_cam'"),
    ],
)
def test_files_of_another_chain_are_refused(chain, change, message):
    altered(chain.folder / "scores2_controls.parquet", **change)
    if "condition" in change or "explainer" in change:
        path = chain.folder / "scores2_controls.parquet"
        table = read_table(path)
        keys = ["explainer", "condition", "metric", "step", "image_id"]
        write_table(
            path,
            {n: c.to_numpy() for n, c in table.to_pandas().drop_duplicates(keys).items()},
        )
    with pytest.raises(InputError, match=message):
        chain.resample()


def test_predictions_that_do_not_fit_are_refused(chain):
    with pytest.raises(InputError, match="3 files of predictions for 2 levels"):
        chain.resample(levels=[0, 1])
    table = read_table(chain.predictions[2])
    write_table(chain.predictions[2], table.slice(0, 40))
    with pytest.raises(InputError, match="different conditions"):
        chain.resample()
    altered(chain.predictions[2], condition="clean", image_id=lambda ids: np.r_[ids[1], ids[1:]])
    with pytest.raises(InputError, match="predicts an image twice"):
        chain.resample()
    write_table(chain.predictions[2], table)
    altered(chain.predictions[2], image_id=lambda ids: ids + 1)
    with pytest.raises(InputError, match="same images"):
        chain.resample()
    assert not (chain.folder / "statistics.parquet").exists()


def values_of(path: Path) -> pd.DataFrame:
    """One number per explainer, condition, metric and image of a score file."""
    frame = read_table(path).to_pandas()
    keys = ["explainer", "condition", "metric", "image_id"]
    # a curve with an undefined step is undefined
    return frame.groupby(keys, observed=True)["value"].apply(lambda v: v.mean(skipna=False))


def test_changes_are_taken_image_by_image(chain):
    frame = read_curves([chain.resample()]).frame
    for level in (1, 2):
        both = {c: chain.right[0][c] & chain.right[level][c] for c in CONDITIONS}
        for index in range(len(FAMILIES)):
            start, end = (values_of(chain.scores[2 * x + index]) for x in (0, level))
            change = (end.astype(float) - start.astype(float)).reset_index(name="value")
            for keys, part in change.groupby(["explainer", "condition", "metric"], observed=True):
                place = np.searchsorted(IMAGES, part["image_id"])
                inside = part["value"].to_numpy()[both[keys[1]][place]]
                row = pick(frame, level, *keys, "change_at_both")
                assert row["mean"] == pytest.approx(np.nanmean(inside), abs=1e-6)
                assert row["n"] == np.isfinite(inside).sum()
    assert not (frame[frame["subset"] == "change_at_both"]["level"] == 0).any()


def test_what_never_looks_at_the_network_never_changes(tmp_path):
    # The images in `correct_at_both` differ from level to level, and with them a control's mean.
    chain = Chain(tmp_path)
    for level in (1, 2):
        start, end = (read_table(chain.scores[2 * x + 1]).to_pandas() for x in (0, level))
        keys = ["explainer", "condition", "metric", "step", "image_id"]
        same = end.drop(columns="value").merge(start[[*keys, "value"]], on=keys)
        write_table(chain.scores[2 * level + 1], {n: same[n].to_numpy() for n in same})
    curves = read_curves([chain.resample()])
    frame = curves.frame
    changes = ((frame["subset"] == "change_at_both") & (frame["explainer"] == "edges")).to_numpy()
    assert changes.sum() == 2 * 2 * 2
    assert (frame["mean"][changes] == 0).all()
    drawn = curves.replicates[changes]
    assert (drawn[np.isfinite(drawn)] == 0).all()
    means = frame[(frame["subset"] == "correct_at_both") & (frame["explainer"] == "edges")]
    assert means.groupby(["condition", "metric"])["mean"].nunique().min() > 1


def pick(frame, level, explainer, condition, metric, subset):
    wanted = {"level": level, "explainer": explainer, "condition": condition}
    for name, value in {**wanted, "metric": metric, "subset": subset}.items():
        frame = frame[frame[name] == value]
    assert len(frame) == 1
    return frame.iloc[0]


def ids(count):
    return np.arange(count, dtype=np.int64)


def test_strata_are_thirds_of_the_dense_margin_and_ties_go_by_image():
    margin = np.array([5.0, 1.0, 1.0, 1.0, 9.0, 7.0, 3.0])
    right = np.ones(7, dtype=bool)
    members = members_of_subsets(ids(7), right, right, margin)
    # by margin: images 1 2 3 (tied) 6 0 5 4; seven in thirds: 3 2 2
    assert np.flatnonzero(members["hard"]).tolist() == [1, 2, 3]
    assert np.flatnonzero(members["medium"]).tolist() == [0, 6]
    assert np.flatnonzero(members["easy"]).tolist() == [4, 5]
    tied = members_of_subsets(ids(3)[::-1], right[:3], right[:3], np.ones(3))
    assert tied["hard"].tolist() == [False, False, True]


def test_strata_do_not_depend_on_what_this_network_gets_right():
    margin = np.random.default_rng(0).random(9)
    right = np.ones(9, dtype=bool)
    for correct in (right, ~right):
        members = members_of_subsets(ids(9), correct, right, margin)
        assert [members[name].sum() for name in ("hard", "medium", "easy")] == [3, 3, 3]
        assert margin[members["hard"]].max() < margin[members["medium"]].min()


def test_an_image_without_margin_is_in_no_stratum():
    margin = np.array([1.0, np.nan, 3.0, 2.0])
    right = np.ones(4, dtype=bool)
    members = members_of_subsets(ids(4), right, right, margin)
    assert [np.flatnonzero(members[n]).tolist() for n in ("hard", "medium", "easy")] == [
        [0],
        [3],
        [2],
    ]


def test_membership_by_correctness():
    correct, dense = np.array([1, 1, 0, 0], dtype=bool), np.array([1, 0, 1, 0], dtype=bool)
    members = members_of_subsets(ids(4), correct, dense, np.zeros(4))
    assert tuple(members) == SUBSETS
    assert members["correct_at_both"].tolist() == [True, False, False, False]
    assert members["correct_matched"].tolist() == correct.tolist()
    assert members["incorrect_matched"].tolist() == (~correct).tolist()


def describe(values, label, correct, counts=None, scored=None):
    values = np.asarray(values, dtype=np.float64).reshape(len(label), -1)
    correct = np.asarray(correct, dtype=bool)
    members = members_of_subsets(ids(len(label)), correct, correct, np.arange(len(label)) / 1.0)
    counts = np.ones((1, len(label)), np.float32) if counts is None else counts
    scored = np.ones(values.shape, dtype=bool) if scored is None else scored
    return describe_subsets(values, scored, np.asarray(label), members, counts)


def test_matched_means_by_hand():
    # label 0: right 1 and 3 (mean 2), wrong 5; label 1: right 10, wrong 20 and 40 (mean 30);
    # label 2 is never wrong, label 3 never right. Weights 1 and 2 (wrong images).
    label = [0, 0, 0, 1, 1, 1, 2, 3]
    correct = [1, 1, 0, 1, 0, 0, 1, 0]
    found = describe([1, 3, 5, 10, 20, 40, 1000, -1000], label, correct)
    assert found["correct_matched"].mean == pytest.approx([(1 * 2 + 2 * 10) / 3])
    assert found["incorrect_matched"].mean == pytest.approx([(5 + 20 + 40) / 3])
    assert (found["correct_matched"].n, found["incorrect_matched"].n) == (3, 3)
    assert found["correct_matched"].replicates == pytest.approx(22 / 3)


def test_matching_removes_what_the_label_explains():
    # values depend on the label alone, and so does the error rate
    rng = np.random.default_rng(0)
    label = rng.integers(5, size=500)
    correct = rng.random(500) < 0.5 + 0.1 * label
    found = describe(label.astype(float), label, correct)
    raw = label[correct].mean() - label[~correct].mean()
    assert raw > 0.5
    assert found["correct_matched"].mean == pytest.approx(found["incorrect_matched"].mean)


def test_a_label_whose_wrong_images_are_undefined_does_not_enter():
    found = describe([1.0, 2.0, 5.0, np.nan], [0, 0, 1, 1], [1, 0, 1, 0])
    assert found["correct_matched"].mean == pytest.approx([1.0])
    assert (found["correct_matched"].n, found["incorrect_matched"].n) == (1, 1)
    assert (found["correct_matched"].undefined, found["incorrect_matched"].undefined) == (0, 1)


def test_a_label_enters_for_the_columns_that_have_both():
    values = [[1.0, 1.0], [2.0, 2.0], [5.0, 5.0], [np.nan, 8.0]]
    found = describe(values, [0, 0, 1, 1], [1, 0, 1, 0])
    assert found["correct_matched"].n.tolist() == [1, 2]
    assert found["correct_matched"].mean == pytest.approx([1.0, 3.0])
    assert found["incorrect_matched"].mean == pytest.approx([2.0, 5.0])


def test_no_errors_leave_the_matched_means_undefined():
    found = describe([1.0, 2.0], [0, 1], [1, 1])
    for name in ("correct_matched", "incorrect_matched"):
        assert np.isnan(found[name].mean).all()
        assert np.isnan(found[name].replicates).all()
        assert found[name].n == 0
    assert found["all"].mean == pytest.approx([1.5])


def test_what_was_not_scored_is_not_undefined():
    values, scored = np.array([[1.0], [np.nan], [np.nan]]), np.array([[True], [True], [False]])
    found = describe(values, [0, 0, 0], [1, 1, 1], scored=scored)
    assert (found["all"].n, found["all"].undefined) == (1, 1)


def weighted(values, weights, chosen):
    kept = chosen & np.isfinite(values)
    total = weights[kept].sum()
    return (weights[kept] * values[kept]).sum() / total if total else np.nan


def matched(values, weights, label, correct):
    sums, total = np.zeros(2), 0.0
    for one in np.unique(label):
        sides = [(label == one) & side & np.isfinite(values) for side in (correct, ~correct)]
        if all(weights[side].sum() > 0 for side in sides):
            wrong = weights[sides[1]].sum()
            sums += [wrong * weighted(values, weights, side) for side in sides]
            total += wrong
    return sums / total if total else np.full(2, np.nan)


@pytest.mark.parametrize("classes", [1, 4])
def test_replicates_against_the_definition(classes):
    rng = np.random.default_rng(classes)
    count = 60
    label, correct = rng.integers(classes, size=count), rng.random(count) < 0.8
    dense, margin = rng.random(count) < 0.9, rng.random(count).round(1)
    values = rng.standard_normal((count, 3)) + 5
    values[rng.random(count) < 0.2, 1] = np.nan
    values[:, 2] = np.where(correct, values[:, 2], np.inf)
    members = members_of_subsets(ids(count), correct, dense, margin)
    counts = draw_counts(ids(count), 25, 0)
    found = describe_subsets(values, np.ones(values.shape, bool), label, members, counts)
    for column in range(3):
        for b, weights in enumerate(counts.astype(np.float64)):
            for name in SUBSETS[:-2]:
                expected = weighted(values[:, column], weights, members[name])
                got = found[name].replicates[b, column]
                assert got == pytest.approx(expected, rel=1e-5, nan_ok=True)
            expected = matched(values[:, column], weights, label, correct)
            got = [found[name].replicates[b, column] for name in SUBSETS[-2:]]
            assert got == pytest.approx(expected, rel=1e-5, nan_ok=True)
        whole = matched(values[:, column], np.ones(count), label, correct)
        got = [found[name].mean[column] for name in SUBSETS[-2:]]
        assert got == pytest.approx(whole, nan_ok=True)
