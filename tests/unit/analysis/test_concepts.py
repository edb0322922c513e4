"""Tables of concepts: means, differences, floors, orders, notes, and fits that did not converge."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from sparsight.analysis.concepts import (
    convergence,
    convergence_refusal,
    convergence_warnings,
    summarise_concepts,
)
from sparsight.analysis.tables import read
from sparsight.concepts.base import DRIFT_SCHEMA, MEASURES_SCHEMA, RANKING_SCHEMA
from sparsight.io.errors import InputError
from sparsight.io.tables import write_table
from tests.tables import write_bits

SETTINGS = {
    "confidence": 0.95,
    "retrain": ["retrain"],
    "measures": {
        "bottleneck": {
            "found": {"accuracy": ["higher", "share"], "auroc": ["higher", "0 to 1"]},
            "compared": {"jaccard": ["higher", "0 to 1"]},
        }
    },
    "tables": ["bottleneck"],
}
#: accuracy by pruner and level of the seeds 1, 2 and 3
ACCURACY = {
    ("dense", 0): (0.9, 0.8, 0.7),
    ("magnitude", 1): (0.8, 0.6, 0.4),
    ("retrain", 1): (0.9, 0.7, 0.6),
}
#: area for each of two concepts
AUROC = {
    ("dense", 0): ((0.9, 0.7), (0.8, 0.8), (0.9, 0.9)),
    ("magnitude", 1): ((0.8, 0.6), (0.7, np.nan), (0.9, 0.9)),
    ("retrain", 1): ((0.9, 0.7), (0.8, 0.8), (0.9, 0.9)),
}
#: with the references of each seed
JACCARD = {
    ("dense", 0): ((0.2, 0.4), (0.2, 0.6), (0.4, 0.6)),
    ("magnitude", 1): ((0.5,), (0.4,), (0.6,)),
    ("retrain", 1): ((0.8,), (0.8,), (0.7,)),
}
ORDERS = {
    ("dense", 0): ("wing", "beak", "tail", "eye", "leg", "foot"),
    ("magnitude", 1): ("eye", "crest", "wing", "beak"),
    ("retrain", 1): ("wing", "beak", "tail", "leg", "eye"),
}
#: one-sided p of Student t with two degrees of freedom has a closed form
T_95_2 = 4.302652729911275


def p_of(values):
    values = np.asarray(values)
    t = values.mean() / (values.std(ddof=1) / np.sqrt(3))
    return 2 * (0.5 - abs(t) / (2 * np.sqrt(2 + t * t)))


class Files:
    """Writes the files of checkpoints into a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files: dict[str, list[Path]] = {"measures": [], "drift": [], "rankings": []}

    def write(
        self, kind, schema, place, seed, columns, concept="bottleneck", study="demo", notes=()
    ):
        (pruner, level), count = place, len(next(iter(columns.values())))
        whole = {**{"method": ["pcbm"] * count, "class": [""] * count}, **columns}
        for name in schema.names:
            whole.setdefault(name, [""] * count)
        table = pa.table({name: whole[name] for name in schema.names}, schema=schema)
        identity = {
            **{"study": study, "dataset": "birds", "model": "cnn", "pruner": pruner},
            **{"seed": str(seed), "level": f"{level:02d}", "density": "0.5" if level else "1.0"},
            **{"concept": concept, "method": "pcbm", "notes": json.dumps(list(notes))},
        }
        path = self.folder / f"{kind}_{study}_{pruner}_{level}_{seed}_{concept}.parquet"
        write_table(path, table, identity)
        self.files[kind].append(path)

    def summarise(self, order=1, **settings):
        concepts, tables = self.folder / "concepts.csv", self.folder / "concept_tables.csv"
        files = {kind: paths[::order] for kind, paths in self.files.items()}
        summarise_concepts(
            **files,
            evaluations=write_bits(self.folder, ("birds", "cnn", "magnitude", 1, 1, 4)),
            concepts=concepts,
            tables=tables,
            notes=self.folder / "concept_notes.csv",
            settings={**SETTINGS, **settings},
        )
        return read("concepts", concepts), read("concept_tables", tables)


@pytest.fixture
def files(tmp_path) -> Files:
    """Three seeds: dense, one pruned level, one retraining; two levels deep for nobody."""
    files = Files(tmp_path)
    for place, values in ACCURACY.items():
        for index, seed in enumerate((1, 2, 3)):
            areas = AUROC[place][index]
            columns = {
                "measure": ["accuracy", "accuracy", "auroc", "auroc", "forward_passes"],
                "class": ["", "gull", "", "", ""],
                "concept": ["", "", "wing", "tail", ""],
                "value": [values[index], 0.1, *areas, 40.0],
            }
            files.write("measures", MEASURES_SCHEMA, place, seed, columns)
            given = JACCARD[place][index]
            others = [s for s in (1, 2, 3) if s != seed] if place[1] == 0 else [seed]
            columns = {
                "measure": ["jaccard"] * len(given),
                "class": ["gull"] * len(given),
                "value": list(given),
                "reference_pruner": ["dense"] * len(given),
                "reference_seed": others,
                "reference_level": [0] * len(given),
            }
            files.write("drift", DRIFT_SCHEMA, place, seed, columns)
            names = ORDERS[place]
            columns = {
                "class": ["gull"] * len(names),
                "concept": list(names),
                "rank": list(range(1, len(names) + 1)),
                "weight": [1.0 / (n + 1) for n in range(len(names))],
                "value": [np.nan] * len(names),
            }
            files.write("rankings", RANKING_SCHEMA, place, seed, columns)
    return files


def test_the_bits_of_the_weights_stand_next_to_their_density(files):
    for table in files.summarise():
        bits = table.groupby("pruner")["bits"].unique().map(list).to_dict()
        assert bits == {"dense": [32.0], "magnitude": [4.0], "retrain": [32.0]}


def test_notes_are_there_once_with_the_networks_that_have_them(files):
    columns = {"measure": ["accuracy"], "value": [0.5]}
    for level, notes in enumerate((["many", "<few>, all"], ["many", "many"], [], ["many"])):
        place = ("random", level + 1)
        files.write("measures", MEASURES_SCHEMA, place, 1, columns, "other", notes=notes)
    files.summarise(tables=["bottleneck"])
    found = read("concept_notes", files.folder / "concept_notes.csv")
    # the nine checkpoints of the bottleneck have nothing to note
    assert set(found["concept"]) == {"other"}
    assert list(found[["note", "networks", "of"]].itertuples(index=False, name=None)) == [
        ("many", 3, 4),
        ("<few>, all", 1, 4),
    ]
    with pytest.raises(InputError, match=r"none\.csv does not exist"):
        read("concept_notes", files.folder / "none.csv")


def row_of(table, **wanted):
    found = table
    for name, value in {"class": "", "concept_label": "", **wanted}.items():
        found = found[found[name] == value]
    assert len(found) == 1, found
    return found.iloc[0]


def test_the_mean_over_seeds_and_the_difference_to_dense(files):
    table, _ = files.summarise()
    row = row_of(table, measure="accuracy", pruner="magnitude", seed="mean")
    assert row["value"] == pytest.approx(0.6)
    # values 0.8, 0.6, 0.4: standard deviation 0.2
    reach = T_95_2 * 0.2 / np.sqrt(3)
    assert [row["low"], row["high"]] == pytest.approx([0.6 - reach, 0.6 + reach])
    # differences -0.1, -0.2, -0.3
    assert row["difference"] == pytest.approx(-0.2)
    reach = T_95_2 * 0.1 / np.sqrt(3)
    assert row["difference_low"] == pytest.approx(-0.2 - reach)
    assert row["difference_p"] == pytest.approx(p_of([-0.1, -0.2, -0.3]))
    assert row["difference_seeds"] == row["n_seeds"] == 3
    assert (row["density"], row["direction"], row["unit"]) == (0.5, "higher", "share")
    seeds = table[(table["measure"] == "accuracy") & (table["pruner"] == "magnitude")]
    seeds = seeds[seeds["class"] == ""]
    assert seeds["seed"].tolist() == ["1", "2", "3", "mean"]
    assert seeds["difference"].tolist() == pytest.approx([-0.1, -0.2, -0.3, -0.2])


def test_dense_is_there_once_and_has_no_difference(files):
    table, _ = files.summarise()
    dense = table[table["pruner"] == "dense"]
    assert set(dense["level"]) == {0}
    assert dense["difference"].isna().all()
    assert row_of(dense, measure="accuracy", seed="mean")["value"] == pytest.approx(0.8)


def test_what_training_once_more_changes_stands_beside(files):
    table, _ = files.summarise()
    row = row_of(table, measure="accuracy", pruner="magnitude", seed="mean")
    assert row["minus_retrain_floor"] == pytest.approx(np.mean([-0.1, -0.1, -0.2]))
    # the dense networks' own numbers are no floor of likeness
    assert np.isnan(row["minus_seed_floor"])
    retrained = row_of(table, measure="accuracy", pruner="retrain", seed="mean")
    assert retrained["difference"] == pytest.approx(np.mean([0, -0.1, -0.1]))
    assert np.isnan(retrained["minus_retrain_floor"])


def test_comparisons_have_both_floors(files):
    table, _ = files.summarise()
    row = row_of(table, measure="jaccard", pruner="magnitude", seed="mean", **{"class": "gull"})
    assert (row["kind"], row["reference"]) == ("compared", "dense_parent")
    assert row["minus_retrain_floor"] == pytest.approx(np.mean([-0.3, -0.4, -0.1]))
    assert row["minus_retrain_floor_p"] == pytest.approx(p_of([-0.3, -0.4, -0.1]))
    # the other seeds agree in 0.3, 0.4 and 0.5
    assert row["minus_seed_floor"] == pytest.approx(0.5 - 0.4)
    assert np.isnan(row["difference"])
    floor = row_of(table, measure="jaccard", pruner="dense", seed="mean", **{"class": "gull"})
    assert floor["reference"] == "seed_floor"
    assert floor["value"] == pytest.approx(0.4)
    # pseudo-values (2 (n - 1) v - n mean) / (n - 2) of n = 3: 0, 0.4 and 0.8
    assert floor["high"] - floor["value"] == pytest.approx(T_95_2 * 0.4 / np.sqrt(3))


def test_a_measure_of_parts_has_its_mean_for_the_whole(files):
    table, _ = files.summarise()
    dense = row_of(table, measure="auroc", pruner="dense", seed="1")
    assert (dense["value"], dense["averaged_over"]) == (pytest.approx(0.8), 2)
    # one concept of the second network is undefined
    pruned = row_of(table, measure="auroc", pruner="magnitude", seed="2")
    assert (pruned["value"], pruned["averaged_over"]) == (0.7, 1)
    mean = row_of(table, measure="auroc", pruner="magnitude", seed="mean")
    assert (mean["averaged_over"], mean["n_seeds"]) == (1, 3)
    part = row_of(table, measure="auroc", pruner="magnitude", seed="mean", concept_label="tail")
    assert part["n_seeds"] == 2
    assert part["difference"] == pytest.approx(np.mean([-0.1, 0.0]))
    # a measure that has such a row keeps it, whatever its classes say
    dense = row_of(table, measure="accuracy", pruner="dense", seed="1")
    assert (dense["value"], dense["averaged_over"]) == (0.9, 1)


def test_ps_are_adjusted_within_a_pruner_and_passes_are_not_counted(files):
    table, _ = files.summarise()
    rows = table[(table["pruner"] == "magnitude") & (table["seed"] == "mean")]
    tested = rows.dropna(subset=["difference_p_adjusted"])
    assert set(tested["measure"]) == {"accuracy", "auroc"}
    p = np.sort(tested["difference_p"].to_numpy())
    count = len(p)
    expected = np.minimum.accumulate((p * count / np.arange(1, count + 1))[::-1])[::-1]
    assert np.sort(tested["difference_p_adjusted"]) == pytest.approx(np.minimum(expected, 1))


def test_the_order_of_the_files_does_not_count(files):
    files.summarise()
    before = [(files.folder / n).read_bytes() for n in ("concepts.csv", "concept_tables.csv")]
    files.summarise(order=-1)
    after = [(files.folder / n).read_bytes() for n in ("concepts.csv", "concept_tables.csv")]
    assert before == after


def test_the_first_concepts_and_how_many_dense_shares(files):
    _, tables = files.summarise()
    assert len(tables) == 3 * 3
    row = tables[(tables["pruner"] == "magnitude") & (tables["seed"] == "1")].iloc[0]
    assert [row[f"top_{place}"] for place in range(1, 6)] == ["eye", "crest", "wing", "beak", ""]
    assert row["weight_2"] == pytest.approx(0.5)
    assert np.isnan(row["weight_5"])
    # wing of three; eye, wing and beak of five
    assert (row["shared_top_3"], row["shared_top_5"]) == (1, 3)
    assert (row["class"], row["level"], row["density"]) == ("gull", 1, 0.5)
    dense = tables[tables["pruner"] == "dense"].iloc[0]
    assert (dense["shared_top_3"], dense["shared_top_5"]) == (3, 5)


def test_orders_of_numbered_concepts_are_left_out(files):
    _, tables = files.summarise(tables=[])
    assert tables.empty


def test_numbered_concepts_of_different_networks_are_not_set_against_each_other(files):
    before, _ = files.summarise()
    table, _ = files.summarise(tables=[])
    own = table[table["concept_label"] != ""]
    assert set(own["seed"]) == {"1", "2", "3"}
    assert set(own["measure"]) == {"auroc"}
    assert own[["difference", "minus_retrain_floor", "difference_p"]].isna().all(axis=None)
    assert own["value"].notna().sum() == 17
    # the mean over all of a network's concepts does not depend on their numbers
    row = row_of(table, measure="auroc", pruner="magnitude", seed="mean")
    assert row["difference"] == pytest.approx(np.mean([-0.1, -0.1, 0.0]))
    # all else stays, but for the adjustment over fewer tests
    columns = [name for name in table if not name.endswith("_adjusted")]
    rest = before[before["concept_label"] == ""].reset_index(drop=True)
    whole = table[table["concept_label"] == ""].reset_index(drop=True)
    pd.testing.assert_frame_equal(whole[columns], rest[columns])
    assert len(before[before["concept_label"] != ""]) > len(own)


def test_p_values_have_no_mean_over_classes_and_concepts(tmp_path):
    files = Files(tmp_path)
    columns = {
        "measure": ["p_value", "adjusted_p", "score"] * 2,
        "class": ["gull"] * 6,
        "concept": ["wing"] * 3 + ["tail"] * 3,
        "value": [0.01, 0.02, 0.9, 0.5, 0.5, 0.7],
    }
    for seed in (1, 2):
        files.write("measures", MEASURES_SCHEMA, ("dense", 0), seed, columns)
    table, _ = files.summarise()
    whole = table[(table["class"] == "") & (table["concept_label"] == "")]
    assert set(whole["measure"]) == {"score"}
    assert whole["value"].tolist() == pytest.approx([0.8] * 3)
    assert set(table["measure"]) == {"score", "p_value", "adjusted_p"}


def test_one_seed_has_no_interval(tmp_path):
    files = Files(tmp_path)
    for place in (("dense", 0), ("magnitude", 1)):
        columns = {"measure": ["accuracy"], "value": [0.5 + place[1]]}
        files.write("measures", MEASURES_SCHEMA, place, 1, columns)
    table, tables = files.summarise()
    row = row_of(table, pruner="magnitude", seed="mean")
    assert row["difference"] == pytest.approx(1.0)
    assert row[["low", "difference_low", "difference_p_adjusted"]].isna().all()
    assert tables.empty


def test_files_that_do_not_belong_together_are_refused(files):
    files.files["measures"].append(files.files["measures"][0])
    with pytest.raises(InputError, match="both hold the concepts 'bottleneck' of one checkpoint"):
        files.summarise()
    files.files["measures"].pop()
    columns = {"measure": ["accuracy"], "value": [0.5]}
    files.write("measures", MEASURES_SCHEMA, ("dense", 0), 9, columns, study="other")
    with pytest.raises(InputError, match=r"concepts of several studies \(demo, other\)"):
        files.summarise()


def test_tables_that_lack_a_column_are_refused(files):
    files.summarise()
    path = files.folder / "concepts.csv"
    pd.read_csv(path).drop(columns="measure").to_csv(path, index=False)
    with pytest.raises(InputError, match="has no column 'measure'"):
        read("concepts", path)
    with pytest.raises(InputError, match="does not exist"):
        read("concept_tables", files.folder / "none.csv")


def rows(concept: str, values: list[float], measure: str = "converged") -> pd.DataFrame:
    """One network of a pruner for each value, and their mean."""
    place = {"dataset": "birds", "model": "cnn", "pruner": "magnitude", "level": 1}
    named = {"concept": concept, "kind": "found", "measure": measure}
    whole = [{**place, **named, "seed": str(seed), "value": v} for seed, v in enumerate(values)]
    return pd.DataFrame([*whole, {**whole[0], "seed": "mean", "value": 0.5}])


def test_every_method_with_a_fit_that_did_not_converge_is_named_once() -> None:
    table = pd.concat(
        [
            rows("pcbm", [1.0, 0.0, 0.0]),
            rows("predictor", [1.0, 1.0]),
            rows("cav", [0.0], "concept_accuracy"),
            rows("other", [float("nan")]),
        ]
    )
    assert convergence(table)["converged"].tolist() == [True, False, False, True, True]
    (warning,) = convergence_warnings(table)
    for part in ("pcbm", "birds", "cnn", "2 of 3", "iterations"):
        assert part in warning


def test_only_the_networks_of_a_claim_count() -> None:
    table = rows("pcbm", [1.0, 0.0, 0.0])
    where = ("birds", "cnn")
    assert convergence_refusal(table, *where, {"magnitude"}, {"pcbm"}).startswith("2 of 3 ")
    assert convergence_refusal(table, *where, {"random"}, {"pcbm"}) == ""
    assert convergence_refusal(table, *where, {"magnitude"}, {"cav"}) == ""
    assert convergence_refusal(table, "digits", "cnn", {"magnitude"}, {"pcbm"}) == ""
