"""Scoring a family from files to file: rows, values, bounded memory, clear refusals."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch import nn

from sparsight.data.packed import PackedSplit
from sparsight.io.arrays import ArrayWriter, read_arrays, write_arrays
from sparsight.io.entries import Key, Stored, Wanted
from sparsight.io.errors import InputError
from sparsight.io.tables import read_table, write_table
from sparsight.metrics.base import Metric
from sparsight.metrics.complexity import gini
from sparsight.metrics.localisation import area_matched_iou, pointing_game, soft_iou
from sparsight.metrics.preparation import prepare
from sparsight.metrics.run import score_family

SIDE, COUNT, CLASSES = 8, 10, 3
CONDITIONS = ["clean", "noisy"]
IDENTITY = {
    "study": "thesis",
    "dataset": "digits",
    "model": "thesis_cnn",
    "pruner": "magnitude",
    "seed": 3,
    "level": 2,
    "density": 0.64,
}
COLUMNS = [
    *("study", "dataset", "model", "pruner", "seed", "level", "density", "explainer", "condition"),
    *("target", "image_id", "label", "predicted", "correct", "empty", "metric", "step", "value"),
]
FACTS = {
    "cam": {"interpolation": "bilinear", "cost": 61},
    "grad": {"interpolation": "none", "cost": 3},
}
MAPS_METADATA = {"explainers": json.dumps(FACTS), "data_hash": "x"}
CPU = torch.device("cpu")


def write_split(path, count, masks=True, side=SIDE):
    generator = torch.Generator().manual_seed(0)
    rows = {
        "images": (torch.uint8, (count, 1, side, side)),
        "noise": (torch.uint8, (count, 1, side, side)),
        "masks": (torch.uint8, (count, side, side)),
        "labels": (torch.int64, (count,)),
        "image_ids": (torch.int64, (count,)),
        "evaluation_rank": (torch.int64, (count,)),
    }
    if not masks:
        del rows["masks"]
    names = json.dumps([str(label) for label in range(CLASSES)])
    metadata = {"dataset": "digits", "split": "test", "classes": names, "data_hash": "x"}
    metadata["has_masks"] = "true" if masks else "false"
    with ArrayWriter(path, rows, metadata) as writer:
        for name, (dtype, shape) in rows.items():
            if dtype == torch.uint8:
                values = torch.randint(0, 256, shape, dtype=dtype, generator=generator)
                writer.append(name, values.where(values > 60, torch.zeros((), dtype=dtype)))
        writer.append("labels", torch.arange(count) % CLASSES)
        writer.append("image_ids", 1000 + torch.arange(count))
        writer.append("evaluation_rank", torch.arange(count))


def write_predictions(path, count, shift=1):
    """Every third image is predicted wrongly under noise, by `shift`; rows in reverse order."""
    ids = 1000 + np.arange(count)[::-1]
    labels = (ids - 1000) % CLASSES
    noisy = np.where(ids % 3 == 0, (labels + shift) % CLASSES, labels)
    table = {
        "image_id": np.tile(ids, 2),
        "condition": ["clean"] * count + ["noisy"] * count,
        "label": np.tile(labels, 2).astype(np.int32),
        "predicted": np.concatenate([labels, noisy]).astype(np.int32),
        "probability": np.ones(2 * count, dtype=np.float32),
        "margin": np.ones(2 * count, dtype=np.float32),
    }
    write_table(path, table)


def write_maps(path, image_ids, targets=True, side=SIDE):
    count = len(image_ids)
    generator = torch.Generator().manual_seed(1)
    tensors = {"image_ids": image_ids}
    for condition in CONDITIONS:
        tensors[f"cam/{condition}"] = torch.rand((count, 3, 3), generator=generator)
        tensors[f"grad/{condition}"] = torch.randn((count, side, side), generator=generator)
        if targets:
            tensors[f"targets/{condition}"] = torch.full((count,), 2)
            tensors[f"predictions/{condition}"] = torch.zeros(count, dtype=torch.int64)
    write_arrays(path, tensors, MAPS_METADATA)
    return tensors


@pytest.fixture
def files(tmp_path):
    write_split(tmp_path / "test.safetensors", COUNT)
    write_predictions(tmp_path / "predictions.parquet", COUNT)
    return tmp_path


def settings_of(**changes):
    return {
        "explainers": {
            "cam": {"method": "grad_cam", "parameters": {"layer": "conv"}},
            "grad": {"method": "saliency"},
        },
        "metrics": {
            "soft_iou": {"method": "soft_iou", "parameters": {}},
            "area_iou": {"method": "area_matched_iou"},
            "pointing_game": {"method": "pointing_game"},
            "gini": {"method": "gini_sparseness"},
        },
        "conditions": CONDITIONS,
        "batch_size": 4,
        "target": "true",
        **changes,
    }


def score(folder, network=None, output="scores.parquet", **changes):
    score_family(
        settings_of(**changes),
        folder / "test.safetensors",
        folder / "maps.safetensors",
        folder / "predictions.parquet",
        folder / output,
        network,
        IDENTITY,
        CPU,
        folder / "dense.parquet",
    )
    return read_table(folder / output)


def rows_of(table, **wanted):
    rows = table.to_pylist()
    return [row for row in rows if all(row[key] == value for key, value in wanted.items())]


def test_rows_and_values(files):
    ids = torch.tensor([1007, 1002, 1009, 1000, 1005])
    maps = write_maps(files / "maps.safetensors", ids)
    table = score(files)

    assert table.column_names == COLUMNS
    assert len(table) == 5 * 2 * 2 * 4
    text = pa.dictionary(pa.int32(), pa.string())
    for name in ("study", "dataset", "model", "pruner", "explainer", "condition", "metric"):
        assert table.schema.field(name).type == text
    for name in ("seed", "level", "target", "label", "predicted", "step"):
        assert table.schema.field(name).type == pa.int32()
    assert table.schema.field("image_id").type == pa.int64()
    assert table.schema.field("value").type == pa.float32()
    assert table.schema.field("density").type == pa.float64()
    assert all(table[name].unique().to_pylist() == [value] for name, value in IDENTITY.items())
    assert table["step"].unique().to_pylist() == [-1]
    assert table["target"].unique().to_pylist() == [2]

    with PackedSplit.open(files / "test.safetensors") as split:
        batch = split.select((ids - 1000).tolist())
    for condition in CONDITIONS:
        for explainer in ("cam", "grad"):
            raw = maps[f"{explainer}/{condition}"]
            positive = prepare(raw, (SIDE, SIDE), "bilinear", "positive", "none")
            scaled = prepare(raw, (SIDE, SIDE), "bilinear", "positive", "min_max")
            absolute = prepare(raw, (SIDE, SIDE), "bilinear", "absolute", "none")
            expected = {
                "soft_iou": soft_iou(scaled, batch.soft_masks()),
                "area_iou": area_matched_iou(positive, batch.binary_masks()),
                "pointing_game": pointing_game(positive, batch.binary_masks()),
                "gini": gini(absolute.flatten(1)),
            }
            for metric, values in expected.items():
                rows = rows_of(table, condition=condition, explainer=explainer, metric=metric)
                assert [row["image_id"] for row in rows] == ids.tolist()
                assert [row["value"] for row in rows] == pytest.approx(values.tolist(), abs=1e-6)


def test_predictions_come_from_the_table_and_labels_from_the_images(files):
    ids = torch.tensor([1001, 1002, 1003])
    write_maps(files / "maps.safetensors", ids)
    table = score(files)
    clean = rows_of(table, condition="clean", explainer="cam", metric="gini")
    assert [row["label"] for row in clean] == [1, 2, 0]
    assert [row["predicted"] for row in clean] == [1, 2, 0]
    noisy = rows_of(table, condition="noisy", explainer="cam", metric="gini")
    assert [row["predicted"] for row in noisy] == [1, 0, 0]
    assert [row["correct"] for row in noisy] == [True, False, True]


@pytest.mark.parametrize(
    ("rule", "targets"),
    [("true", [1, 2, 0]), ("predicted", [1, 0, 0]), ("dense_predicted", [1, 1, 0])],
)
def test_controls_take_their_target_from_the_rule(files, rule, targets):
    write_maps(files / "maps.safetensors", torch.tensor([1001, 1002, 1003]), targets=False)
    write_predictions(files / "dense.parquet", COUNT, shift=2)
    table = score(files, target=rule)
    rows = rows_of(table, condition="noisy", explainer="cam", metric="gini")
    assert [row["target"] for row in rows] == targets
    assert table.schema.metadata[b"target_rule"].decode() == rule


def test_batch_size_does_not_matter(files):
    write_maps(files / "maps.safetensors", 1000 + torch.arange(COUNT))
    columns = ["explainer", "condition", "metric", "image_id"]
    tables = [score(files, batch_size=size).to_pandas() for size in (1, 3, 64)]
    tables = [table.sort_values(columns).reset_index(drop=True) for table in tables]
    for other in tables[1:]:
        assert (tables[0][columns] == other[columns]).all(axis=None)
        np.testing.assert_allclose(tables[0]["value"], other["value"], atol=1e-6)


def test_undefined_values_are_nan(files):
    tensors = write_maps(files / "maps.safetensors", 1000 + torch.arange(3))
    tensors["cam/clean"][0] = torch.nan
    tensors["cam/clean"][1] = 0
    write_arrays(files / "maps.safetensors", tensors, MAPS_METADATA)
    table = score(files)
    chosen = {"explainer": "cam", "condition": "clean"}
    values = {
        metric: [row["value"] for row in rows_of(table, metric=metric, **chosen)]
        for metric in ("gini", "soft_iou", "pointing_game", "area_iou")
    }
    assert all(np.isnan(column[0]) for column in values.values())
    assert values["gini"][1] == 0
    assert values["soft_iou"][1] == 0
    assert 0 < values["pointing_game"][1] < 1


def test_empty_maps_are_those_constant_up_to_rounding_whatever_the_metric(files):
    tensors = write_maps(files / "maps.safetensors", 1000 + torch.arange(5))
    steps = torch.arange(tensors["cam/clean"][0].numel()) % 4
    tensors["cam/clean"][0] = torch.nan
    tensors["cam/clean"][1] = 0
    # The last bits of a plateau, and of one far from 0, show nothing ...
    tensors["cam/clean"][2] = (0.7 * (1 + steps * 1e-7)).view_as(tensors["cam/clean"][2])
    # ... negative attribution does, also to metrics that count it as 0.
    tensors["cam/clean"][3] = -(1.0 + steps).view_as(tensors["cam/clean"][3])
    write_arrays(files / "maps.safetensors", tensors, MAPS_METADATA)
    table = score(files)
    for metric in ("gini", "soft_iou", "pointing_game", "area_iou"):
        rows = rows_of(table, metric=metric, explainer="cam", condition="clean")
        assert [row["empty"] for row in rows] == [False, True, True, False, False]
    assert not any(row["empty"] for row in rows_of(table, explainer="grad"))
    assert not any(row["empty"] for row in rows_of(table, condition="noisy"))


def test_metadata_hold_the_facts_of_the_metrics(files):
    write_maps(files / "maps.safetensors", 1000 + torch.arange(3))
    facts = json.loads(score(files).schema.metadata[b"metrics"])
    assert facts["gini"]["direction"] == "higher"
    assert facts["area_iou"]["category"] == "localisation"
    assert facts["gini"]["step_axis"] == ""
    assert facts["gini"]["step_values"] == []
    curve = {"method": "deletion", "parameters": {"steps": 2}}
    scored = score(files, Net(), metrics={"flip": curve})
    facts = json.loads(scored.schema.metadata[b"metrics"])
    assert facts["flip"]["step_axis"] == "pixels removed, %"
    assert facts["flip"]["step_values"] == [0, 50, 100]


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 3, padding=1)
        self.head = nn.Linear(2 * SIDE * SIDE, CLASSES)

    def forward(self, images):
        return self.head(self.conv(images).relu().flatten(1))


class Curve(Metric):
    """Three steps: the image's sum, the logit of the target, the sum of a new explanation."""

    name, category, direction, unit, reference = "curve", "test", "lower", "1", "none"
    needs, treatment, normalisation, mask_rule = ("model", "explainer"), "absolute", "none", "none"

    def __init__(self, **parameters):
        del parameters

    def score(self, batch):
        model, images, targets = batch.model, batch.images, batch.targets
        assert batch.masks is None
        assert not model.training
        assert not any(parameter.requires_grad for parameter in model.parameters())
        again = batch.explain_again()
        twice = batch.explain_again(images=images.repeat(2, 1, 1, 1), targets=targets.repeat(2))
        assert torch.allclose(again.repeat(2, 1, 1), twice, atol=1e-6)
        logits = model(images).gather(1, targets[:, None])[:, 0]
        return torch.stack([images.sum((1, 2, 3)), logits, again.sum((1, 2))], dim=1)


def test_curves_models_and_explainers(files, monkeypatch):
    from sparsight.metrics.registry import METRICS

    monkeypatch.setattr(METRICS, "load", lambda name: Curve)
    torch.manual_seed(0)
    network = Net().train()
    write_maps(files / "maps.safetensors", 1000 + torch.arange(6))
    metrics = {"curve": {"method": "curve"}}
    table = score(files, network, metrics=metrics, re_explaining_cost=61)
    assert network.training
    assert all(parameter.requires_grad for parameter in network.parameters())
    assert len(table) == 6 * 2 * 2 * 3
    rows = rows_of(table, condition="noisy", explainer="grad")
    assert [row["step"] for row in rows] == [0, 1, 2] * 6
    assert [row["image_id"] for row in rows[::3]] == list(range(1000, 1006))

    with PackedSplit.open(files / "test.safetensors") as split:
        images = split.rows(0, 6).images("noisy").requires_grad_()
    logits = network(images)[:, 2]
    (gradient,) = torch.autograd.grad(logits.sum(), images)
    expected = [images.sum((1, 2, 3)), logits, gradient.abs().sum((1, 2, 3))]
    for step, values in enumerate(expected):
        found = [row["value"] for row in rows[step::3]]
        assert found == pytest.approx(values.tolist(), rel=1e-4)

    with pytest.raises(InputError, match="curve needs the network"):
        score(files, None, metrics=metrics)


def test_dear_explainers_are_not_explained_anew_unless_asked(files, monkeypatch, caplog):
    """One line says which and why, and an explainer that is not needed is not even built."""
    from sparsight.metrics.registry import METRICS

    load = METRICS.load
    monkeypatch.setattr(METRICS, "load", lambda name: Curve if name == "curve" else load(name))
    write_maps(files / "maps.safetensors", 1000 + torch.arange(4))
    explainers = {"cam": {"method": "captum.NoSuchClass"}, "grad": {"method": "saliency"}}
    gini = {"gini": {"method": "gini_sparseness"}}
    wanted = {
        "explainers": explainers,
        "metrics": {"curve": {"method": "curve"}, **gini, "again": {"method": "curve"}},
    }
    with caplog.at_level("INFO", logger="sparsight.metrics.run"):
        table = score(files, Net(), **wanted)
    (message,) = caplog.messages
    assert message == (
        "curve, again explain anew and are left out where that costs more than 60 forward passes "
        "an image: cam (61)"
    )
    assert len(rows_of(table, metric="curve", explainer="grad")) == 4 * 2 * 3
    assert len(rows_of(table, metric="again", explainer="cam")) == 0
    assert len(rows_of(table, metric="gini", explainer="cam")) == 4 * 2
    with pytest.raises(InputError, match=r"explainers\.cam.*NoSuchClass"):
        score(files, Net(), **wanted, re_explaining_cost=61)
    caplog.clear()
    assert len(score(files, metrics=gini, explainers=explainers)) == 4 * 2 * 2
    assert not caplog.messages


class Total(Curve):
    """Sum of the map as it was prepared; a class of its own for each way of preparing."""

    needs = ()

    def score(self, batch):
        return batch.attributions.sum((1, 2))


def test_each_metric_gets_the_map_that_its_facts_ask_for(files, monkeypatch):
    from sparsight.metrics.registry import METRICS

    wanted = {
        f"{treatment}_{normalisation}": (treatment, normalisation)
        for treatment in ("signed", "absolute", "positive")
        for normalisation in ("none", "min_max")
    }

    def load(name):
        treatment, normalisation = wanted[name]
        return type(name, (Total,), {"treatment": treatment, "normalisation": normalisation})

    monkeypatch.setattr(METRICS, "load", load)
    maps = write_maps(files / "maps.safetensors", 1000 + torch.arange(5))
    table = score(files, metrics={name: {"method": name} for name in wanted})
    for name, how in wanted.items():
        expected = prepare(maps["grad/clean"], (SIDE, SIDE), "none", *how).sum((1, 2))
        rows = rows_of(table, metric=name, explainer="grad", condition="clean")
        assert [row["value"] for row in rows] == pytest.approx(expected.tolist(), rel=1e-5)


def test_rows_are_flushed_in_groups(files, monkeypatch):
    monkeypatch.setattr("sparsight.metrics.run.GROUP_ROWS", 30)
    write_maps(files / "maps.safetensors", 1000 + torch.arange(COUNT))
    table = score(files)
    assert len(table) == COUNT * 2 * 2 * 4
    rows = rows_of(table, explainer="grad", condition="clean", metric="gini")
    assert [row["image_id"] for row in rows] == list(range(1000, 1000 + COUNT))


def test_files_that_do_not_fit_together(files):
    write_maps(files / "maps.safetensors", torch.tensor([1001, 1050]))
    with pytest.raises(InputError, match=r"test\.safetensors holds no image 1050"):
        score(files)
    write_maps(files / "maps.safetensors", torch.tensor([1001, 1008]))
    write_predictions(files / "predictions.parquet", 8)
    with pytest.raises(InputError, match=r"predictions\.parquet .*holds no image 1008"):
        score(files)
    write_predictions(files / "predictions.parquet", COUNT)
    tensors = write_maps(files / "maps.safetensors", torch.tensor([1001, 1002]))
    longer = {**tensors, "cam/noisy": torch.rand(3, 3, 3)}
    write_arrays(files / "maps.safetensors", longer, MAPS_METADATA)
    with pytest.raises(InputError, match="'cam/noisy' of shape"):
        score(files)
    with pytest.raises(InputError, match="no 'other/clean'"):
        score(files, explainers={"other": {"method": "saliency"}})
    write_arrays(files / "maps.safetensors", tensors, {**MAPS_METADATA, "data_hash": "y"})
    with pytest.raises(InputError, match=r"maps\.safetensors was not made from"):
        score(files)
    assert not (files / "scores.parquet").exists()


def test_settings_that_cannot_be_used(files):
    write_maps(files / "maps.safetensors", torch.tensor([1001, 1002]))
    with pytest.raises(InputError, match="target 'wrong' is unknown"):
        score(files, target="wrong")
    with pytest.raises(InputError, match="batch_size is 0"):
        score(files, batch_size=0)
    with pytest.raises(InputError, match=r"metrics\.a\.method: unknown metric 'soft_io'"):
        score(files, metrics={"a": {"method": "soft_io"}})
    with pytest.raises(InputError, match=r"metrics\.a: metric soft_iou .* parameter 'b'"):
        score(files, metrics={"a": {"method": "soft_iou", "parameters": {"b": 1}}})
    write_split(files / "test.safetensors", COUNT, masks=False)
    with pytest.raises(InputError, match="soft_iou needs masks"):
        score(files)
    only_gini = {"gini": {"method": "gini_sparseness"}}
    assert len(score(files, metrics=only_gini)) == 2 * 2 * 2
    assert not list(files.glob("*.partial*"))


# Not ru_maxrss: Linux carries it over from the parent process, here pytest with all it holds.
PEAK = """
import pathlib, sys
sys.path.insert(0, sys.argv[2])
from test_run import score
score(pathlib.Path(sys.argv[1]), batch_size=128, threads=1)
status = pathlib.Path("/proc/self/status").read_text()
print(status.partition("VmHWM:")[2].split()[0])
"""


def peak_kilobytes(folder):
    here = str(Path(__file__).parent)
    done = subprocess.run(
        [sys.executable, "-c", PEAK, str(folder), here], capture_output=True, text=True, check=True
    )
    return int(done.stdout)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's /proc")
def test_peak_memory_does_not_grow_with_the_number_of_images(tmp_path):
    """All 16,000 images and maps at once would be 200 MB, 175 more than 2,000.

    The allocators keep some 20 MB more before they give anything back.
    """
    peaks = []
    for count in (2000, 16_000):
        write_split(tmp_path / "test.safetensors", count, side=28)
        write_predictions(tmp_path / "predictions.parquet", count)
        write_maps(tmp_path / "maps.safetensors", 1000 + torch.arange(count), side=28)
        peaks.append(peak_kilobytes(tmp_path))
    assert peaks[1] - peaks[0] < 60_000, f"{peaks} kB"


# -------------------------------------------------------------------------- entries of a table


@pytest.fixture
def update(files, caplog):
    """Function that updates `scores.parquet` with explainers and versions of metrics: its rows."""
    ids = torch.tensor([1007, 1002, 1009, 1000, 1005])

    def run(explainers=("cam", "grad"), maps=1, **versions):
        caplog.clear()
        caplog.set_level("INFO")
        metadata = Stored({}, {}, {}, {n: Key(f"maps {maps}", "v") for n in ("cam", "grad")})
        write_maps(files / "maps.safetensors", ids)
        tensors = read_arrays(files / "maps.safetensors")
        write_arrays(files / "maps.safetensors", tensors, MAPS_METADATA | metadata.metadata())
        names = {f"{e}/{m}": Key("s", v) for m, v in versions.items() for e in explainers}
        whole = settings_of()
        chosen = {"explainers": {name: whole["explainers"][name] for name in explainers}}
        chosen["metrics"] = {name: whole["metrics"][name] for name in versions}
        score_family(
            settings_of(**chosen),
            files / "test.safetensors",
            files / "maps.safetensors",
            files / "predictions.parquet",
            files / "scores.parquet",
            None,
            IDENTITY,
            CPU,
            wanted=Wanted({"target": "true"}, {"scoring": 1}, names),
            inputs={"predictions": files / "predictions.parquet"},
        )
        return read_table(files / "scores.parquet")

    return run


def in_order(table):
    keys = ("explainer", "condition", "metric", "image_id", "step")
    return sorted(table.to_pylist(), key=lambda row: [row[key] for key in keys])


def test_a_metric_is_added_to_the_others(files, update, caplog):
    whole = in_order(update(soft_iou="1", gini="1"))
    (files / "scores.parquet").unlink()
    before = update(soft_iou="1")
    after = update(soft_iou="1", gini="1")
    assert "kept: 2; computed: 2 (gini)" in caplog.text
    # Rows that were there come first, as they were.
    assert after.slice(0, len(before)).to_pylist() == before.to_pylist()
    assert in_order(after) == whole
    facts = json.loads(after.schema.metadata[b"metrics"])
    assert set(facts) == {"soft_iou", "gini"}


def test_only_what_changed_is_scored_again(files, update, caplog):
    whole = in_order(update(soft_iou="1", gini="1"))
    assert in_order(update(soft_iou="2", gini="1")) == whole
    assert "kept: 2; computed: 2 (soft_iou)" in caplog.text
    assert in_order(update(explainers=["cam"], gini="1")) == whole
    assert "kept: 4; computed: 0 (none)" in caplog.text
    assert in_order(update(explainers=["cam"], gini="3")) == whole
    assert "kept: 3; computed: 1 (gini)" in caplog.text
    write_predictions(files / "predictions.parquet", COUNT, shift=2)
    rows = update(explainers=["cam"], gini="3")
    assert "kept: 0; computed: 1 (gini)" in caplog.text
    assert {row["explainer"] for row in rows.to_pylist()} == {"cam"}


def test_scores_go_with_their_maps(files, update, caplog):
    update(soft_iou="1", gini="1")
    rows = update(maps=2, gini="1")
    # Those of soft_iou too, or they would pass for scores of the new maps.
    assert "kept: 0; computed: 2 (gini)" in caplog.text
    assert {row["metric"] for row in rows.to_pylist()} == {"gini"}


@pytest.mark.parametrize("damage", [b"", b"PAR1", None])
def test_a_damaged_table_is_made_again_as_a_whole(files, update, damage):
    whole = update(soft_iou="1", gini="1")
    path = files / "scores.parquet"
    content = path.read_bytes()
    if damage is None:
        # A byte of the first page, which its checksum does not fit.
        damage = content[:60] + bytes([content[60] ^ 1]) + content[61:]
    path.write_bytes(damage)
    again = update(soft_iou="1", gini="1")
    assert again.to_pylist() == whole.to_pylist()
