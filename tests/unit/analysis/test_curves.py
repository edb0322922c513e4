"""Curves over levels, and the statistics of chains that they are read from."""

import math
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from sparsight.analysis.curves import (
    STATISTICS_SCHEMA,
    complete_curves,
    mean_over_seeds,
    performance_curves,
    read_curves,
    read_explainers,
)
from sparsight.io.errors import CorruptFile, InputError
from sparsight.io.tables import write_table
from tests.tables import write_statistics

SERIES = ["seed", "explainer"]


def test_dense_is_repeated_only_where_the_pruner_has_rows_of_the_same_series():
    rows = [
        ("dense", 1, 0, "cam", 0.1),
        ("dense", 1, 0, "saliency", 0.2),
        ("dense", 2, 0, "cam", 0.3),
        ("a", 1, 1, "cam", 0.4),
        ("a", 1, 1, "saliency", 0.5),
        ("b", 1, 1, "saliency", 0.6),
    ]
    frame = pd.DataFrame(rows, columns=["pruner", "seed", "level", "explainer", "mean"])
    whole = complete_curves(frame, SERIES)
    start = whole[whole["level"] == 0].sort_values(["pruner", "explainer"])
    assert list(zip(start["pruner"], start["explainer"], start["mean"], strict=True)) == [
        ("a", "cam", 0.1),
        ("a", "saliency", 0.2),
        ("b", "saliency", 0.2),
    ]
    assert set(start["checkpoint_pruner"]) == {"dense"}
    assert len(whole) == 6


def test_mean_leaves_out_levels_where_a_seed_is_undefined_or_missing():
    rows = [
        ("cam", 1, 0, 1.0, 0.2), ("cam", 2, 0, 1.0, 0.4),
        ("cam", 1, 1, 0.5, math.nan), ("cam", 2, 1, 0.5, 0.4),
        ("cam", 1, 2, 0.25, 0.4),
    ]  # fmt: skip
    frame = pd.DataFrame(rows, columns=["explainer", "seed", "level", "density", "mean"])
    found = mean_over_seeds(frame, ["explainer"], "mean")
    assert list(found["level"]) == [0]
    assert found["mean"].iloc[0] == pytest.approx(0.3)
    assert found["seeds"].iloc[0] == 2


def test_performance_curves_join_the_density(tmp_path):
    place = {"study": "s", "dataset": "d", "model": "m", "seed": 1}
    rows = []
    for pruner, level, density, accuracy in (("dense", 0, 1.0, 0.9), ("a", 1, 0.5, 0.8)):
        checkpoint = {**place, "pruner": pruner, "level": level}
        rows += [
            {**checkpoint, "split": "test", "condition": "clean", "metric": "accuracy",
             "value": accuracy},
            {**checkpoint, "split": "validation", "condition": "clean", "metric": "accuracy",
             "value": 0.0},
            {**checkpoint, "split": None, "condition": None, "metric": "density_prunable",
             "value": density},
        ]  # fmt: skip
    path = tmp_path / "evaluations.parquet"
    write_table(path, {name: [row[name] for row in rows] for name in rows[0]})
    found = performance_curves(path, "test", "accuracy")
    assert list(found["pruner"]) == ["a", "a"]
    assert list(found["density"]) == [1.0, 0.5]
    assert list(found["value"]) == [0.9, 0.8]


B = 4


def frame_of(explainers=("", "cam", "edges"), seed=1, pruner="magnitude"):
    rows = [
        {
            **dict.fromkeys(("study", "dataset", "model"), "x"),
            **{"pruner": pruner, "seed": seed, "level": level, "density": 0.8**level},
            **{"checkpoint_pruner": "dense" if level == 0 else pruner, "explainer": explainer},
            **{"condition": "clean", "metric": "iou", "subset": "all", "n": 9, "undefined": 1},
            "mean": seed + level / 10,
        }
        for explainer, level in product(explainers, range(3))
    ]
    return pd.DataFrame(rows)


def write(path: Path, frame: pd.DataFrame, bootstrap_seed: int = 0, replicates: int = B) -> Path:
    # each row's replicates say whose they are
    values = np.arange(len(frame))[:, np.newaxis] + np.arange(replicates) / 10
    write_statistics(path, frame, (values + 100 * frame["seed"].iloc[0]), bootstrap_seed)
    return path


def test_rows_come_back_sorted_with_their_own_replicates(tmp_path):
    frame = frame_of()
    shuffled = frame.assign(place=range(len(frame))).sample(frac=1, random_state=0)
    path = tmp_path / "statistics.parquet"
    values = shuffled["place"].to_numpy()[:, np.newaxis] + np.arange(B) / 10
    write_statistics(path, shuffled.drop(columns="place"), values, 0)
    curves = read_curves([path])
    pd.testing.assert_frame_equal(curves.frame, frame, check_dtype=False)
    assert curves.frame.columns.tolist() == STATISTICS_SCHEMA.names
    assert curves.replicates.dtype == np.float32
    assert curves.replicates[:, 0].tolist() == list(range(len(frame)))
    assert curves.replicates[5] == pytest.approx([5.0, 5.1, 5.2, 5.3])


def test_one_row_group_per_explainer_and_the_draw_in_the_metadata(tmp_path):
    path = write(tmp_path / "a.parquet", frame_of(), bootstrap_seed=7)
    with pq.ParquetFile(path) as file:
        assert file.metadata.num_row_groups == 3
        assert file.schema_arrow.metadata[b"replicates"] == b"4"
        assert file.schema_arrow.metadata[b"bootstrap_seed"] == b"7"


@pytest.mark.parametrize(
    ("wanted", "found"),
    [(["cam"], ["cam"]), (["edges", ""], ["", "edges"]), (["d", "nobody"], []), (None, None)],
)
def test_reading_some_explainers(tmp_path, wanted, found):
    paths = [write(tmp_path / f"{seed}.parquet", frame_of(seed=seed)) for seed in (2, 1)]
    curves = read_curves(paths, wanted)
    whole = read_curves(paths)
    if found is None:
        found = ["", "cam", "edges"]
    kept = whole.frame["explainer"].isin(found).to_numpy()
    pd.testing.assert_frame_equal(curves.frame, whole.frame[kept].reset_index(drop=True))
    assert np.array_equal(curves.replicates, whole.replicates[kept])
    assert curves.replicates.shape == (6 * len(found), B)


def test_the_order_of_the_files_does_not_matter(tmp_path):
    paths = [write(tmp_path / f"{seed}.parquet", frame_of(seed=seed)) for seed in (2, 1, 10)]
    one, other = read_curves(paths), read_curves(paths[::-1])
    pd.testing.assert_frame_equal(one.frame, other.frame)
    assert one.frame["seed"].drop_duplicates().tolist() == [1, 2, 10]
    assert np.array_equal(one.replicates, other.replicates)
    assert (one.replicates[:, 0] // 100).tolist() == one.frame["seed"].tolist()


def test_explainers_of_several_chains_without_the_accuracy(tmp_path):
    paths = [
        write(tmp_path / "a.parquet", frame_of(("", "cam"))),
        write(tmp_path / "b.parquet", frame_of(("", "saliency"), seed=2)),
    ]
    assert read_explainers(paths) == ["cam", "saliency"]


def test_no_chain_gives_no_rows():
    curves = read_curves([])
    assert curves.frame.columns.tolist() == STATISTICS_SCHEMA.names
    assert len(curves.frame) == len(curves.replicates) == 0
    assert read_explainers([]) == []


def test_files_that_do_not_belong_together(tmp_path):
    one = write(tmp_path / "a.parquet", frame_of())
    with pytest.raises(InputError, match="same chain"):
        read_curves([one, write(tmp_path / "b.parquet", frame_of())])
    with pytest.raises(InputError, match="different draws"):
        read_curves([one, write(tmp_path / "c.parquet", frame_of(seed=2), bootstrap_seed=1)])
    with pytest.raises(InputError, match="different draws"):
        read_curves([one, write(tmp_path / "d.parquet", frame_of(seed=2), replicates=B + 1)])


def test_missing_corrupt_and_foreign_files(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        read_curves([tmp_path / "nothing.parquet"])
    path = write(tmp_path / "a.parquet", frame_of())
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(CorruptFile, match="is corrupt"):
        read_curves([path])
    write_table(path, {"explainer": ["cam"]})
    with pytest.raises(InputError, match="does not say how it was resampled"):
        read_curves([path])
    write_table(path, {"explainer": ["cam"]}, {"replicates": "4", "bootstrap_seed": "0"})
    with pytest.raises(InputError, match="columns"):
        read_explainers([path])


def test_a_flipped_bit_is_noticed(tmp_path):
    # noise cannot be compressed: only the checksum can tell that a byte is not the right one
    path, frame = tmp_path / "a.parquet", frame_of()
    write_statistics(path, frame, np.random.default_rng(0).random((len(frame), 500)), 0)
    content = bytearray(path.read_bytes())
    with pq.ParquetFile(path) as file:
        group = file.metadata.row_group(1)
        column = group.column(group.num_columns - 1)
        content[column.data_page_offset + column.total_compressed_size // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(CorruptFile):
        read_curves([path])
