"""Summary tables of hand-made scores whose every number can be worked out on paper."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from sparsight.analysis.scores import IDENTITY, SCHEMA
from sparsight.analysis.summarise import summarise
from sparsight.analysis.tables import TABLES, read
from sparsight.io.errors import InputError
from sparsight.io.tables import read_table, write_table


def run(
    folder: Path,
    evaluations: list[Path],
    scores: list[Path],
    **settings: Any,
) -> tuple[Path, Path, Path]:
    outputs = (
        folder / "evaluations.parquet",
        folder / "scores.parquet",
        folder / "levels.csv",
    )
    summarise(
        evaluations,
        scores,
        evaluations_table=outputs[0],
        scores_table=outputs[1],
        levels_table=outputs[2],
        settings=settings,
    )
    return outputs


def levels_of(folder: Path, *arguments: Any, **settings: Any) -> pd.DataFrame:
    return read("levels", run(folder, *arguments, **settings)[2])


def pick(frame: pd.DataFrame, **wanted: Any) -> pd.Series:
    for name, value in wanted.items():
        frame = frame[frame[name] == value]
    assert len(frame) == 1
    return frame.iloc[0]


@pytest.fixture
def study(write_evaluation, write_scores):
    """Dense and one level of two pruners, four images; image 4 is wrong at level 0."""
    dense = [("cam", "iou", i, i != 4, v) for i, v in ((1, 0.1), (2, 0.2), (3, 0.3), (4, 0.8))]
    pruned = [
        ("cam", "iou", 1, True, 0.2),
        ("cam", "iou", 2, False, 0.9),  # wrong here, right at level 0
        ("cam", "iou", 3, True, math.nan),  # undefined
        ("cam", "iou", 4, True, 0.7),  # right here, wrong at level 0
    ]
    evaluations = [
        write_evaluation(accuracy=0.75),
        write_evaluation("magnitude", 1, accuracy=0.7, density=0.5),
        write_evaluation("random", 1, accuracy=0.5, density=0.5),
    ]
    scores = [
        write_scores(dense),
        write_scores(pruned, "magnitude", 1, density=0.5),
        write_scores(dense, "random", 1, density=0.5),
    ]
    return evaluations, scores


def test_mean_sd_median_and_undefined(tmp_path, study):
    row = pick(levels_of(tmp_path, *study), pruner="magnitude", level=1, subset="all")
    assert (row["n"], row["undefined"]) == (3, 1)
    assert row["mean"] == pytest.approx((0.2 + 0.9 + 0.7) / 3)
    assert row["median"] == pytest.approx(0.7)
    assert row["sd"] == pytest.approx(np.std([0.2, 0.9, 0.7], ddof=1))
    assert (row["density"], row["accuracy"]) == (0.5, 0.7)


def test_empty_share_is_of_all_images_of_the_subset(
    tmp_path, study, write_evaluation, write_scores
):
    evaluations, scores = study
    rows = [
        ("cam", "iou", 1, True, 0.2),
        ("cam", "iou", 2, False, 0.9),
        ("cam", "iou", 3, True, math.nan),
        ("cam", "iou", 4, True, 0.7),
        *[("cam", "curve", i, i != 2, v, s) for i in range(1, 5) for s, v in ((0, 0.5), (1, 0.1))],
    ]
    scores[1] = write_scores(rows, "magnitude", 1, density=0.5, empty=[2, 3])
    frame = levels_of(tmp_path, evaluations, scores, reducers={"curve": "mean"})
    # Of the four images two are empty, one of them without a score; a step is no image.
    for metric in ("iou", "curve"):
        row = pick(frame, pruner="magnitude", level=1, subset="all", metric=metric)
        assert row["empty_share"] == pytest.approx(0.5)
    # Images 1 and 3 are right at both levels, and 3 is empty.
    both = pick(frame, pruner="magnitude", level=1, subset="correct_at_both", metric="iou")
    assert both["empty_share"] == pytest.approx(0.5)
    assert pick(frame, pruner="magnitude", level=0, subset="all")["empty_share"] == 0
    assert pick(frame, pruner="random", level=1, subset="all")["empty_share"] == 0


def test_correct_at_both_needs_both_levels(tmp_path, study):
    frame = levels_of(tmp_path, *study)
    row = pick(frame, pruner="magnitude", level=1, subset="correct_at_both")
    # Images 1 and 3 are right at both levels; 3 has no defined score.
    assert (row["n"], row["undefined"], row["mean"]) == (1, 1, pytest.approx(0.2))
    assert math.isnan(row["sd"])
    start = pick(frame, pruner="magnitude", level=0, subset="correct_at_both")
    assert (start["n"], start["mean"]) == (3, pytest.approx(0.2))


def test_no_image_correct_leaves_an_empty_row(tmp_path, write_evaluation, write_scores):
    frame = levels_of(
        tmp_path,
        [write_evaluation(), write_evaluation("magnitude", 1)],
        [
            write_scores([("cam", "iou", 1, True, 0.5)]),
            write_scores([("cam", "iou", 1, False, 0.5)], "magnitude", 1),
        ],
    )
    row = pick(frame, level=1, subset="correct_at_both")
    assert row["n"] == 0
    assert math.isnan(row["mean"])
    assert math.isnan(row["median"])


def test_dense_level_starts_each_curve(tmp_path, study):
    frame = levels_of(tmp_path, *study)
    assert set(frame["pruner"]) == {"magnitude", "random"}
    start = frame[(frame["level"] == 0) & (frame["subset"] == "all")]
    assert list(start["pruner"]) == ["magnitude", "random"]
    assert set(start["checkpoint_pruner"]) == {"dense"}
    assert list(start["mean"]) == pytest.approx([0.35, 0.35])
    assert set(start["accuracy"]) == {0.75}
    assert set(frame.loc[frame["level"] == 1, "checkpoint_pruner"]) == {"magnitude", "random"}


def test_accuracy_is_that_of_the_same_condition(tmp_path, write_evaluation, write_scores):
    def splits(clean: float, noisy: float) -> dict[str, Any]:
        parts = {"clean": {"accuracy": clean}, "noisy": {"accuracy": noisy}}
        return {"test": parts, "validation": {"noisy": {"accuracy": 0.0}}}

    rows = [("cam", "iou", 1, True, 0.5)]
    frame = levels_of(
        tmp_path,
        [
            write_evaluation(splits=splits(0.9, 0.8)),
            write_evaluation("magnitude", 1, splits=splits(0.7, 0.6)),
        ],
        [
            write_scores(rows, condition="noisy"),
            write_scores(rows, "magnitude", 1, condition="noisy"),
        ],
    )
    assert sorted(set(frame["accuracy"])) == [0.6, 0.8]


def test_bytes_do_not_depend_on_the_order_of_files_or_rows(
    tmp_path, write_evaluation, write_scores
):
    rng = np.random.default_rng(0)
    rows = [
        (explainer, metric, image, bool(rng.random() < 0.7), float(rng.normal()))
        for explainer in ("cam", "saliency")
        for metric in ("gini", "iou")
        for image in range(20)
    ]
    correct = {row[2]: row[3] for row in rows}
    rows = [(e, m, i, correct[i], v) for e, m, i, _, v in rows]
    identities = [("dense", 0, 1), ("dense", 0, 2), ("a", 1, 1), ("a", 1, 2), ("b", 1, 1)]
    evaluations = [write_evaluation(p, level, s) for p, level, s in identities]
    scores = [write_scores(rows, p, level, s) for p, level, s in identities]
    first = run(tmp_path / "first", evaluations, scores)
    shuffled = [rows[i] for i in rng.permutation(len(rows))]
    scores = [write_scores(shuffled, p, level, s) for p, level, s in identities]
    second = run(tmp_path / "second", evaluations[::-1], scores[::-1])
    for one, other in zip(first, second, strict=True):
        assert one.read_bytes() == other.read_bytes()


def test_scores_are_sorted_and_whole(tmp_path, study):
    table = read_table(run(tmp_path, *study)[1]).to_pandas()
    assert len(table) == 12
    keys = ["pruner", "seed", "level", "explainer", "condition", "metric", "image_id", "step"]
    assert table[keys].equals(table[keys].sort_values(keys))
    assert table["value"].isna().sum() == 1
    # columns in their order, and each row with the identity of its own file
    assert list(table.columns) == SCHEMA.names
    identities = table[IDENTITY].drop_duplicates().to_numpy().tolist()
    assert identities == [
        ["demo", "digits", "cnn", "dense", 1, 0, 1.0],
        ["demo", "digits", "cnn", "magnitude", 1, 1, 0.5],
        ["demo", "digits", "cnn", "random", 1, 1, 0.5],
    ]


def test_evaluations_are_tidy(tmp_path, study):
    table = read_table(run(tmp_path, *study)[0]).to_pandas()
    random = table[table["pruner"] == "random"].set_index("metric")
    assert random.loc["accuracy", ["split", "condition", "value"]].to_list() == [
        "test",
        "clean",
        0.5,
    ]
    assert random.loc["density_prunable", "value"] == 0.5
    assert random.loc["density:conv", "value"] == 0.5
    assert random.loc["surviving", "value"] == 500
    assert pd.isna(random.loc["density_all", "split"])
    assert "auroc" not in random.index  # null in the file: not defined, so no row


@pytest.mark.parametrize(
    ("reducer", "expected"), [("mean", 2.0), ("sum", 6.0), ("first", 3.0), ("last", 1.0)]
)
def test_curves_become_scalars_by_their_reducer(
    tmp_path, write_evaluation, write_scores, reducer, expected
):
    rows = [("cam", "road", 1, True, value, step) for step, value in ((2, 1.0), (0, 3.0), (1, 2.0))]
    frame = levels_of(
        tmp_path,
        [write_evaluation(), write_evaluation("magnitude", 1)],
        [write_scores(rows), write_scores(rows, "magnitude", 1)],
        reducers={"road": reducer},
    )
    assert pick(frame, level=1, subset="all")["mean"] == expected


def test_a_curve_without_a_reducer_is_refused(tmp_path, write_evaluation, write_scores):
    rows = [("cam", "road", 1, True, 1.0, step) for step in range(3)]
    with pytest.raises(InputError, match=r"'road'.*reducer"):
        run(tmp_path, [write_evaluation()], [write_scores(rows)])
    with pytest.raises(InputError, match="'median' of the metric 'road' is unknown"):
        run(tmp_path, [write_evaluation()], [write_scores(rows)], reducers={"road": "median"})
    assert not (tmp_path / "scores.parquet").exists()


ROW = [("cam", "iou", 1, True, 0.5)]


def test_refusals_name_the_file_and_the_reason(tmp_path, write_evaluation, write_scores):
    dense, scored = write_evaluation(), write_scores(ROW)
    with pytest.raises(InputError, match="evaluate the same checkpoint"):
        run(tmp_path, [dense, dense], [scored])
    with pytest.raises(InputError, match="several studies"):
        run(tmp_path, [dense, write_evaluation(study="other")], [scored])
    with pytest.raises(InputError, match="both hold the explainer 'cam'"):
        run(tmp_path, [dense], [scored, write_scores(ROW, family="again")])
    with pytest.raises(InputError, match="not evaluated"):
        run(tmp_path, [dense], [scored, write_scores(ROW, "magnitude", 1)])
    with pytest.raises(InputError, match=r"was scored at density 0.4 but .* evaluated at 0.5"):
        run(
            tmp_path,
            [dense, write_evaluation("magnitude", 1, density=0.5)],
            [scored, write_scores(ROW, "magnitude", 1, density=0.4)],
        )
    with pytest.raises(InputError, match="scores image 1 twice"):
        run(tmp_path, [dense], [write_scores(ROW * 2)])
    with pytest.raises(InputError, match="not a size"):
        run(tmp_path, [dense], [write_scores(ROW)], memory_limit="plenty")


def test_images_that_the_dense_network_never_saw_are_refused(
    tmp_path, write_evaluation, write_scores
):
    with pytest.raises(InputError, match="1 images that the dense network"):
        run(
            tmp_path,
            [write_evaluation(), write_evaluation("magnitude", 1)],
            [write_scores(ROW), write_scores([("cam", "iou", 2, True, 0.5)], "magnitude", 1)],
        )


def test_without_dense_scores_no_image_is_correct_at_both(tmp_path, write_evaluation, write_scores):
    evaluations = [write_evaluation(), write_evaluation("magnitude", 1)]
    frame = levels_of(tmp_path, evaluations, [write_scores(ROW, "magnitude", 1)])
    assert list(frame["subset"]) == ["all", "correct_at_both"]
    assert list(frame["n"]) == [1, 0]


def test_families_that_disagree_on_correctness_are_refused(
    tmp_path, write_evaluation, write_scores
):
    other = write_scores([("saliency", "iou", 1, False, 0.5)], family="gradient")
    with pytest.raises(InputError, match="disagree on whether image 1"):
        run(tmp_path, [write_evaluation()], [write_scores(ROW), other])


def test_unscored_condition_and_broken_files_are_refused(tmp_path, write_evaluation, write_scores):
    dense = write_evaluation()
    pruned = write_evaluation("magnitude", 1)
    noisy = [
        write_scores(ROW, condition="noisy"),
        write_scores(ROW, "magnitude", 1, condition="noisy"),
    ]
    with pytest.raises(
        InputError, match="no accuracy on the split 'test' under the condition 'noisy'"
    ):
        run(tmp_path, [dense, pruned], noisy)
    lacking = tmp_path / "lacking.parquet"
    write_table(lacking, {"study": ["demo"]})
    with pytest.raises(InputError, match="has no column"):
        run(tmp_path, [dense], [lacking])
    dense.write_text("{")
    with pytest.raises(InputError, match=r"is corrupt \(it is no JSON\)"):
        run(tmp_path, [dense], noisy)


def test_without_pruned_levels_there_are_no_curves(tmp_path, write_evaluation, write_scores):
    assert levels_of(tmp_path, [write_evaluation()], [write_scores(ROW)]).empty


SAVINGS = [
    "parameters",
    "parameters_left",
    "multiply_adds",
    "multiply_adds_left",
    "milliseconds",
    "milliseconds_left",
]
SAVED = [5_000_000_000, 40, 123456789012, 4500, 3.0, 1.5]


def test_what_removed_units_save_is_joined_by_checkpoint(tmp_path, study):
    evaluations, scores = study
    for path in evaluations:
        content = json.loads(path.read_text())
        if (content["pruner"], content["level"]) == ("magnitude", 1):
            content["removal"] = dict(zip(SAVINGS, SAVED, strict=True))
            path.write_text(json.dumps(content))
    path = run(tmp_path, evaluations, scores)[2]
    frame = read("levels", path)
    assert TABLES["levels"].names[-8:] == ["median", "empty_share", *SAVINGS]
    pruned = (frame["pruner"] == "magnitude") & (frame["level"] == 1)
    assert frame.loc[pruned, SAVINGS].to_numpy().tolist() == [SAVED] * pruned.sum()
    assert frame.loc[~pruned, SAVINGS].isna().all(axis=None)
    # Whole numbers keep all their digits.
    assert ",5000000000,40,123456789012,4500,3,1.5" in path.read_text()


def test_an_incomplete_removal_is_refused(tmp_path, study):
    evaluations, scores = study
    content = json.loads(evaluations[0].read_text())
    evaluations[0].write_text(json.dumps({**content, "removal": {"parameters": 1}}))
    with pytest.raises(InputError, match="not a complete evaluation"):
        run(tmp_path, evaluations, scores)


def test_bits_are_those_of_the_evaluation_and_else_32(tmp_path, study):
    evaluations, scores = study
    content = json.loads(evaluations[1].read_text())
    evaluations[1].write_text(json.dumps({**content, "bits": 4}))
    outputs = run(tmp_path, evaluations, scores)
    expected = {("dense", 0): 32, ("magnitude", 1): 4, ("random", 1): 32}
    evaluated = read("evaluations", outputs[0])
    rows = evaluated[evaluated["metric"] == "bits"]
    assert {(p, n): b for p, n, b in rows[["pruner", "level", "value"]].to_numpy()} == expected
    scored = read("scores", outputs[1])
    assert {(p, n): b for p, n, b in scored[["pruner", "level", "bits"]].to_numpy()} == expected
    levels = read("levels", outputs[2])
    for pruner, bits in (("magnitude", 4), ("random", 32)):
        of_pruner = levels[levels["pruner"] == pruner]
        assert set(of_pruner.loc[of_pruner["level"] == 0, "bits"]) == {32}
        assert set(of_pruner.loc[of_pruner["level"] == 1, "bits"]) == {bits}


def test_a_table_of_levels_without_bits_is_of_weights_that_were_not_quantised(tmp_path, study):
    path = run(tmp_path, *study)[2]
    pd.read_csv(path).drop(columns="bits").to_csv(path, index=False)
    assert set(read("levels", path)["bits"]) == {32}


def test_levels_of_earlier_versions_are_read_without_their_savings(tmp_path, study):
    frame = levels_of(tmp_path, *study)
    former = ["channels", "channels_left", "multiply_adds", "milliseconds_converted"]
    old = frame.drop(columns=SAVINGS).assign(**dict.fromkeys(former, 7))
    old.to_csv(tmp_path / "old.csv", index=False)
    found = read("levels", tmp_path / "old.csv")
    assert found[SAVINGS].isna().all(axis=None)
    pd.testing.assert_frame_equal(found, frame)
