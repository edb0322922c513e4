"""Agreement over networks: floors, paired differences, and intervals with known truth."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from sparsight.analysis.agreement import pseudo_values, summarise_agreement
from sparsight.analysis.statistics import draw_counts
from sparsight.analysis.tables import TABLES
from sparsight.io.errors import InputError
from sparsight.io.tables import write_table
from tests.tables import write_bits

SETTINGS = {
    "statistics": {"replicates": 200, "bootstrap_seed": 0, "confidence": 0.95},
    "retrain": ["retrain"],
    "controls": ["control"],
}
NAN = math.nan


@pytest.fixture
def write(tmp_path):
    """Write one file from {reference seed: values per image}; several curves by name."""
    written = []

    def make(
        pruner,
        level,
        seed,
        curves,
        density=1.0,
        study="demo",
        family="cam",
        dataset="digits",
        first_id=100,
        **changes,
    ):
        rows = [
            {
                **{"study": study, "dataset": dataset, "model": "cnn", "pruner": pruner},
                **{"seed": seed, "level": level, "density": density},
                **{"explainer": explainer, "condition": "noisy", "metric": "spearman"},
                **{"image_id": first_id + image, "value": value, "step": -1},
                **{"reference_pruner": "dense", "reference_seed": reference, "reference_level": 0},
                **changes,
            }
            for explainer, references in curves.items()
            for reference, values in references.items()
            for image, value in enumerate(values)
        ]
        path = tmp_path / study / dataset / pruner / f"{level}_{seed}_{family}.parquet"
        write_table(path, pd.DataFrame(rows).to_dict("list"))
        written.append(path)
        return path

    make.written = written
    return make


def summarise(paths, tmp_path, **changes):
    output = tmp_path / "agreement.csv"
    summarise_agreement(paths, write_bits(tmp_path), output, {**SETTINGS, **changes})
    return pd.read_csv(output, dtype={"seed": str, "control": str})


def rows_of(table, **wanted):
    for name, value in wanted.items():
        table = table[table[name] == value]
    return table


def one(table, **wanted):
    found = rows_of(table, **wanted)
    assert len(found) == 1, found
    return found.iloc[0]


def study(write):
    """Three seeds: a dense network, two retrainings and one pruned level, four images each."""
    pairs = {(1, 2): 0.5, (1, 3): 0.6, (2, 3): 0.7}
    retrained = {1: (0.8, 0.9), 2: (0.7, 0.8), 3: (0.9, 0.9)}
    pruned = {1: 0.3, 2: 0.5, 3: 0.4}
    spread = np.array([-0.1, 0.1, 0.0, 0.0])
    for seed in (1, 2, 3):
        others = {s: pairs[tuple(sorted((seed, s)))] + spread for s in (1, 2, 3) if s != seed}
        write("dense", 0, seed, {"cam": others})
        for level, value in enumerate(retrained[seed], start=1):
            write("retrain", level, seed, {"cam": {seed: value + spread}})
        write("magnitude", 1, seed, {"cam": {seed: pruned[seed] + spread}}, density=0.5)
    return write.written


def test_rows_of_networks(write, tmp_path):
    table = summarise(study(write), tmp_path)
    assert list(table.columns) == TABLES["agreement"].names
    assert len(table) == 4 * (3 + 1)
    row = one(table, pruner="magnitude", seed="2")
    assert (row["level"], row["density"], row["reference"]) == (1, 0.5, "dense_parent")
    assert (row["n"], row["undefined"], row["n_seeds"]) == (4, 0, 1)
    assert row["mean"] == pytest.approx(0.5)
    assert row["median"] == pytest.approx(0.5)
    assert row["sd"] == pytest.approx(math.sqrt(0.02 / 3))
    floor = one(table, pruner="dense", seed="1")
    assert (floor["reference"], floor["n"]) == ("seed_floor", 8)
    assert floor["mean"] == pytest.approx((0.5 + 0.6) / 2)
    assert table["seed"].tolist()[:4] == ["1", "2", "3", "mean"]
    assert set(table["control"]) == {"false"}


def test_mean_over_seeds_and_difference_to_the_retrain_floor(write, tmp_path):
    """Retrain floor 0.85, 0.75, 0.9; pruned 0.3, 0.5, 0.4; differences -0.55, -0.25, -0.5."""
    table = summarise(study(write), tmp_path)
    row = one(table, pruner="magnitude", seed="mean")
    values, differences = np.array([0.3, 0.5, 0.4]), np.array([-0.55, -0.25, -0.5])
    for name, expected in (("", values), ("minus_retrain_floor", differences)):
        low, high = stats.ttest_1samp(expected, 0).confidence_interval(0.95)
        mean = row[name or "mean"]
        assert mean == pytest.approx(expected.mean(), abs=1e-6)
        prefix = f"{name}_" if name else ""
        assert row[f"{prefix}low"] == pytest.approx(low, abs=1e-6)
        assert row[f"{prefix}high"] == pytest.approx(high, abs=1e-6)
    p = stats.ttest_1samp(differences, 0).pvalue
    assert row["minus_retrain_floor_p"] == pytest.approx(p, rel=1e-4)
    assert row["minus_retrain_floor_p_adjusted"] == pytest.approx(p, rel=1e-4)
    assert (row["n_seeds"], row["n"], row["minus_retrain_floor_seeds"]) == (3, 12, 3)
    assert math.isnan(row["sd"])


def test_seed_floor_counts_every_network_in_full(write, tmp_path):
    """θ = 0.6; without network 1, 2, 3 it is 0.7, 0.6, 0.5; pseudo-values 3θ - 2θ₋ᵢ."""
    pseudo = np.array([0.4, 0.6, 0.8])
    table = summarise(study(write), tmp_path)
    floor = one(table, pruner="dense", seed="mean")
    low, high = stats.ttest_1samp(pseudo, 0).confidence_interval(0.95)
    assert floor["mean"] == pytest.approx(0.6)
    assert (floor["low"], floor["high"]) == pytest.approx((low, high), abs=1e-6)
    # pruned 0.3, 0.5, 0.4
    differences = np.array([-0.1, -0.1, -0.4])
    row = one(table, pruner="magnitude", seed="mean")
    low, high = stats.ttest_1samp(differences, 0).confidence_interval(0.95)
    found = [row[f"minus_seed_floor{part}"] for part in ("", "_low", "_high", "_p")]
    p = stats.ttest_1samp(differences, 0).pvalue
    assert found == pytest.approx([-0.2, low, high, p], abs=1e-5)
    assert row["minus_seed_floor_seeds"] == 3


def test_floors_have_no_difference_to_themselves(write, tmp_path):
    table = summarise(study(write), tmp_path)
    floors = table[table["pruner"] != "magnitude"]
    assert floors[[c for c in table.columns if c.startswith("minus_")]].isna().all(axis=None)


def test_pseudo_values_are_the_jackknife():
    generator = np.random.default_rng(0)
    for count in (3, 4, 7):
        pair = {p: generator.normal() for p in itertools.combinations(range(count), 2)}
        means = {i: float(np.mean([v for p, v in pair.items() if i in p])) for i in range(count)}
        whole = float(np.mean(list(pair.values())))
        for i, found in pseudo_values(means, dict.fromkeys(means, count - 1)).items():
            without = float(np.mean([v for p, v in pair.items() if i not in p]))
            assert found == pytest.approx(count * whole - (count - 1) * without)


def test_pseudo_values_need_three_networks_and_all_pairs():
    two = pseudo_values({1: 0.5, 2: 0.5}, {1: 1, 2: 1})
    assert all(math.isnan(value) for value in two.values())
    torn = pseudo_values({1: 0.5, 2: 0.6, 3: 0.4}, {1: 2, 2: 1, 3: 1})
    assert all(math.isnan(value) for value in torn.values())
    left_out = pseudo_values({1: 0.5, 2: NAN, 3: 0.6, 4: 0.4}, {1: 2, 2: 0, 3: 2, 4: 2})
    assert math.isnan(left_out[2])
    assert np.nanmean(list(left_out.values())) == pytest.approx(0.5)


def test_interval_of_the_seed_floor_covers_and_the_naive_one_does_not():
    """Networks differ: the agreement of a pair is μ + aᵢ + aⱼ + eᵢⱼ, here with μ = 0."""
    generator = np.random.default_rng(1)
    trials, count, covered, naive = 800, 5, 0, 0
    for _ in range(trials):
        own = generator.normal(size=count)
        noise = 0.5 * generator.normal(size=(count, count))
        pair = own[:, None] + own[None, :] + (noise + noise.T) / math.sqrt(2)
        means = {i: float(np.delete(pair[i], i).mean()) for i in range(count)}
        pseudo = np.array(list(pseudo_values(means, dict.fromkeys(means, count - 1)).values()))
        for values, is_pseudo in ((pseudo, True), (np.array(list(means.values())), False)):
            low, high = stats.ttest_1samp(values, 0).confidence_interval(0.95)
            covered += is_pseudo and low <= 0 <= high
            naive += (not is_pseudo) and low <= 0 <= high
    # three standard errors of a share of 0.95 in 800 trials are 0.023
    assert abs(covered / trials - 0.95) < 0.023
    assert naive / trials < 0.75


def test_two_seeds_have_a_seed_floor_without_interval(write, tmp_path):
    for seed, other in ((1, 2), (2, 1)):
        write("dense", 0, seed, {"cam": {other: [0.5, 0.7]}})
        write("magnitude", 1, seed, {"cam": {seed: [0.4, 0.2 * seed]}})
    table = summarise(write.written, tmp_path)
    floor = one(table, pruner="dense", seed="mean")
    assert floor["mean"] == pytest.approx(0.6)
    assert np.isnan([floor["low"], floor["high"]]).all()
    row = one(table, pruner="magnitude", seed="mean")
    assert row["minus_seed_floor"] == pytest.approx(0.35 - 0.6)
    assert math.isnan(row["minus_seed_floor_low"])
    assert row["minus_seed_floor_seeds"] == 2
    # no pruner retrains: there is nothing to subtract
    assert math.isnan(row["minus_retrain_floor"])
    assert row["minus_retrain_floor_seeds"] == 0


def test_undefined_values_are_counted_and_left_out(write, tmp_path):
    write("magnitude", 1, 1, {"cam": {1: [0.4, NAN, 0.8]}})
    write("magnitude", 1, 2, {"cam": {2: [NAN, NAN, NAN]}})
    table = summarise(write.written, tmp_path)
    row = one(table, seed="1")
    assert (row["n"], row["undefined"]) == (2, 1)
    assert row["mean"] == pytest.approx(0.6)
    dead = one(table, seed="2")
    assert (dead["n"], dead["undefined"]) == (0, 3)
    assert np.isnan([dead["mean"], dead["sd"], dead["median"]]).all()
    mean = one(table, seed="mean")
    assert (mean["n_seeds"], mean["n"], mean["undefined"]) == (1, 2, 4)
    assert mean["mean"] == pytest.approx(0.6)
    assert math.isnan(mean["low"])


def test_images_interval_is_that_of_one_draw_for_all_networks(write, tmp_path):
    """Replicates by hand: the draw over all images of all files, weighted means, their mean."""
    generator = np.random.default_rng(3)
    values = {1: generator.random(40), 2: generator.random(25)}
    values[1][7] = NAN
    for seed, row in values.items():
        # the second file holds images 10 to 34 only
        write("magnitude", 1, seed, {"cam": {seed: row}}, first_id=100 + 10 * (seed - 1))
    counts = draw_counts(np.arange(100, 140), 200, 0)
    replicates = []
    for seed, row in values.items():
        weight = counts[:, 10 * (seed - 1) :][:, : len(row)].astype(np.float64)
        finite = np.isfinite(row)
        replicates.append(weight[:, finite] @ row[finite] / weight[:, finite].sum(axis=1))
    expected = np.quantile(np.mean(replicates, axis=0), [0.025, 0.975])
    row = one(summarise(write.written, tmp_path), seed="mean")
    assert [row["images_low"], row["images_high"]] == pytest.approx(expected.tolist(), abs=1e-6)
    assert row["images_low"] < row["mean"] < row["images_high"]
    assert rows_of(summarise(write.written, tmp_path), seed="1")["images_low"].isna().all()


def test_order_of_files_and_rows_does_not_matter(write, tmp_path):
    paths = study(write)
    first = summarise(paths, tmp_path)
    again = summarise(paths[::-1], tmp_path)
    pd.testing.assert_frame_equal(first, again)


def test_ps_are_adjusted_within_a_pruner_and_without_controls(write, tmp_path):
    names = ("a", "b", "c", "control")
    generator = np.random.default_rng(5)
    for seed in range(1, 6):
        write("retrain", 1, seed, {name: {seed: [0.9, 0.9]} for name in names})
        for pruner in ("magnitude", "random"):
            curves = {
                name: {seed: [0.9 - 0.1 * place + 0.1 * generator.normal()] * 2}
                for place, name in enumerate(names)
            }
            write(pruner, 1, seed, curves)
    table = rows_of(summarise(write.written, tmp_path), seed="mean")
    for pruner in ("magnitude", "random"):
        rows = rows_of(table, pruner=pruner)
        real = rows[rows["explainer"] != "control"]
        expected = stats.false_discovery_control(real["minus_retrain_floor_p"])
        assert real["minus_retrain_floor_p_adjusted"].tolist() == pytest.approx(list(expected))
        control = one(rows, explainer="control")
        assert control["control"] == "true"
        assert not math.isnan(control["minus_retrain_floor_p"])
        assert math.isnan(control["minus_retrain_floor_p_adjusted"])
        assert rows["minus_seed_floor"].isna().all()


def test_families_and_data_sets_stay_apart(write, tmp_path):
    write("magnitude", 1, 1, {"cam": {1: [0.1]}})
    write("magnitude", 1, 1, {"saliency": {1: [0.2, 0.4]}}, family="gradient", first_id=500)
    write("magnitude", 1, 1, {"cam": {1: [0.9]}}, dataset="mnist")
    table = rows_of(summarise(write.written, tmp_path), seed="1")
    found = table.set_index(["dataset", "explainer"])["mean"].to_dict()
    assert found == pytest.approx(
        {("digits", "cam"): 0.1, ("digits", "saliency"): 0.3, ("mnist", "cam"): 0.9}
    )


def test_files_without_rows_and_no_files(write, tmp_path):
    path = write("magnitude", 1, 1, {"cam": {1: [0.1]}})
    empty = tmp_path / "empty.parquet"
    frame = pd.read_parquet(path).iloc[:0]
    write_table(empty, frame.to_dict("list"))
    assert len(summarise([path, empty], tmp_path)) == 2
    table = summarise([], tmp_path)
    assert list(table.columns) == TABLES["agreement"].names
    assert table.empty


def test_files_that_do_not_belong_together(write, tmp_path):
    path = write("magnitude", 1, 1, {"cam": {1: [0.1, 0.2]}})
    with pytest.raises(InputError, match="both hold the explainer 'cam' of one checkpoint"):
        summarise([path, path], tmp_path)
    other = write("magnitude", 1, 2, {"cam": {2: [0.1]}}, study="other")
    with pytest.raises(InputError, match=r"several studies \(demo, other\)"):
        summarise([path, other], tmp_path)
    level = write("dense", 1, 1, {"cam": {1: [0.1]}})
    with pytest.raises(InputError, match="level 0, and only it"):
        summarise([level], tmp_path)
    twice = write("random", 1, 1, {"cam": {1: [0.1, 0.2]}}, image_id=7)
    with pytest.raises(InputError, match="compares image 7 twice with one network"):
        summarise([twice], tmp_path)
    frame = pd.read_parquet(path).assign(seed=[1, 2])
    write_table(path, frame.to_dict("list"))
    with pytest.raises(InputError, match="several checkpoints"):
        summarise([path], tmp_path)
    write_table(path, frame.drop(columns="density").to_dict("list"))
    with pytest.raises(InputError, match="has no column 'density'"):
        summarise([path], tmp_path)
    with pytest.raises(InputError, match="does not exist"):
        summarise([tmp_path / "none.parquet"], tmp_path)
