"""Comparing a family from files to file: rows, values, bounded memory, clear refusals."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch

from sparsight.io.arrays import ArrayWriter, write_arrays
from sparsight.io.checkpoints import Checkpoint, write_checkpoint
from sparsight.io.entries import Key, Stored, Wanted
from sparsight.io.errors import InputError
from sparsight.io.tables import read_table, write_table
from sparsight.metrics.agreement import spearman, ssim, top_k_iou
from sparsight.metrics.preparation import prepare
from sparsight.metrics.run import SCHEMA as SCORE_SCHEMA
from sparsight.metrics.run import score_checkpoint, score_family

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
DENSE = {"pruner": "dense", "seed": 3, "level": 0}
OTHER = {"pruner": "dense", "seed": 4, "level": 0}
FACTS = {"cam": {"interpolation": "bilinear"}, "grad": {"interpolation": "none"}}
CPU = torch.device("cpu")


def write_split(path, count, side=SIDE):
    rows = {
        "images": (torch.uint8, (count, 1, side, side)),
        "noise": (torch.uint8, (count, 1, side, side)),
        "labels": (torch.int64, (count,)),
        "image_ids": (torch.int64, (count,)),
        "evaluation_rank": (torch.int64, (count,)),
    }
    metadata = {"dataset": "digits", "split": "test", "data_hash": "x", "has_masks": "false"}
    metadata["classes"] = json.dumps([str(label) for label in range(CLASSES)])
    with ArrayWriter(path, rows, metadata) as writer:
        for name in ("images", "noise"):
            writer.append(name, torch.zeros((count, 1, side, side), dtype=torch.uint8))
        writer.append("labels", torch.arange(count) % CLASSES)
        writer.append("image_ids", 1000 + torch.arange(count))
        writer.append("evaluation_rank", torch.arange(count))


def write_predictions(path, count):
    """Every third image is predicted wrongly under noise; rows in reverse order."""
    ids = 1000 + np.arange(count)[::-1]
    labels = (ids - 1000) % CLASSES
    noisy = np.where(ids % 3 == 0, (labels + 1) % CLASSES, labels)
    table = {
        "image_id": np.tile(ids, 2),
        "condition": ["clean"] * count + ["noisy"] * count,
        "predicted": np.concatenate([labels, noisy]).astype(np.int32),
    }
    write_table(path, table)


def write_maps(path, ids, seed=0, side=SIDE, change=None, **metadata):
    """Half of each map is shared by all seeds; `change` may alter the tensors before writing."""
    shared = torch.Generator().manual_seed(99)
    own = torch.Generator().manual_seed(seed)
    tensors = {"image_ids": ids}
    for condition in CONDITIONS:
        for name, shape in (("cam", (len(ids), 3, 3)), ("grad", (len(ids), side, side))):
            both = torch.randn(shape, generator=shared) + torch.randn(shape, generator=own)
            tensors[f"{name}/{condition}"] = both.relu() if name == "cam" else both
        tensors[f"targets/{condition}"] = (ids - 1000) % CLASSES
        tensors[f"predictions/{condition}"] = torch.zeros(len(ids), dtype=torch.int64)
    if change is not None:
        change(tensors)
    facts = {"explainers": json.dumps(FACTS), "data_hash": "x", **metadata}
    write_arrays(path, tensors, facts)
    return tensors


@pytest.fixture
def files(tmp_path):
    write_split(tmp_path / "test.safetensors", COUNT)
    write_predictions(tmp_path / "predictions.parquet", COUNT)
    return tmp_path


def settings_of(**changes):
    return {
        "explainers": {"cam": {"method": "grad_cam"}, "grad": {"method": "saliency"}},
        "agreement": {
            "ranks": {"method": "spearman"},
            "top": {"method": "top_k_iou", "parameters": {"share": 0.2}},
            "ssim": {"method": "ssim", "parameters": {}},
        },
        "conditions": CONDITIONS,
        "batch_size": 4,
        "target": "true",
        "references": [DENSE],
        **changes,
    }


def compare(folder, names=("dense",), output="agreement.parquet", **changes):
    score_family(
        settings_of(**changes),
        folder / "test.safetensors",
        folder / "own.safetensors",
        folder / "predictions.parquet",
        folder / output,
        None,
        IDENTITY,
        CPU,
        references=[folder / f"{name}.safetensors" for name in names],
    )
    return read_table(folder / output)


def rows_of(table, **wanted):
    return [
        row for row in table.to_pylist() if all(row[key] == value for key, value in wanted.items())
    ]


def test_rows_and_values(files):
    ids = torch.tensor([1007, 1002, 1009, 1000, 1005])
    own = write_maps(files / "own.safetensors", ids, 1)
    others = [write_maps(files / f"{n}.safetensors", ids, 2 + i) for i, n in enumerate("ab")]
    table = compare(files, "ab", references=[DENSE, OTHER])

    text = pa.dictionary(pa.int32(), pa.string())
    shared = [name for name in SCORE_SCHEMA.names if name != "empty"]
    assert table.schema.names == [
        *shared,
        *("reference_pruner", "reference_seed", "reference_level"),
    ]
    assert all(table.schema.field(name).type == SCORE_SCHEMA.field(name).type for name in shared)
    assert table.schema.types[-3:] == [text, pa.int32(), pa.int32()]
    assert len(table) == 5 * 2 * 2 * 3 * 2
    assert all(table[name].unique().to_pylist() == [value] for name, value in IDENTITY.items())
    assert table["step"].unique().to_pylist() == [-1]
    assert table["reference_pruner"].unique().to_pylist() == ["dense"]
    assert table["reference_level"].unique().to_pylist() == [0]

    for reference, other in zip((3, 4), others, strict=True):
        for name in [f"{e}/{c}" for e in ("cam", "grad") for c in CONDITIONS]:
            a, b = own[name], other[name]
            size = tuple(a.shape[1:])
            scaled = [prepare(m, (SIDE, SIDE), "bilinear", "signed", "min_max") for m in (a, b)]
            top = [prepare(m, size, "none", "absolute", "none") for m in (a, b)]
            expected = {
                "ranks": spearman(a, b),
                "top": top_k_iou(*top, 0.2),
                "ssim": ssim(*scaled),
            }
            explainer, _, condition = name.partition("/")
            chosen = {"explainer": explainer, "condition": condition, "reference_seed": reference}
            for metric, values in expected.items():
                rows = rows_of(table, metric=metric, **chosen)
                assert [row["image_id"] for row in rows] == ids.tolist()
                assert [row["value"] for row in rows] == pytest.approx(values.tolist(), nan_ok=True)


def test_predictions_and_labels_are_those_of_the_checkpoint(files):
    ids = torch.tensor([1003, 1001, 1002])
    for name in ("own", "dense"):
        write_maps(files / f"{name}.safetensors", ids)
    rows = rows_of(compare(files), condition="noisy", explainer="cam", metric="top")
    assert [row["label"] for row in rows] == [0, 1, 2]
    assert [row["target"] for row in rows] == [0, 1, 2]
    assert [row["predicted"] for row in rows] == [0, 1, 0]
    assert [row["correct"] for row in rows] == [True, True, False]
    assert [row["value"] for row in rows] == [1, 1, 1]


def test_batch_size_and_row_groups_do_not_matter(files, monkeypatch):
    ids = 1000 + torch.arange(COUNT)
    write_maps(files / "own.safetensors", ids, 1)
    write_maps(files / "a.safetensors", ids, 2)
    write_maps(files / "b.safetensors", ids, 3)
    columns = ["explainer", "condition", "metric", "reference_seed", "image_id"]
    tables = []
    for size, group in ((1, 7), (3, 16384), (64, 1)):
        monkeypatch.setattr("sparsight.metrics.run.GROUP_ROWS", group)
        table = compare(files, "ab", references=[DENSE, OTHER], batch_size=size).to_pandas()
        tables.append(table.sort_values(columns).reset_index(drop=True))
    for other in tables[1:]:
        assert (tables[0].drop(columns="value") == other.drop(columns="value")).all(axis=None)
        np.testing.assert_allclose(tables[0]["value"], other["value"], atol=1e-6)


def test_undefined_where_a_map_is_constant(files):
    ids = 1000 + torch.arange(4)

    def darken(tensors):
        tensors["cam/clean"][1] = 0.0

    write_maps(files / "own.safetensors", ids, 1)
    write_maps(files / "dense.safetensors", ids, 2, change=darken)
    table = compare(files)
    for metric in ("ranks", "top", "ssim"):
        values = [
            row["value"]
            for row in rows_of(table, explainer="cam", condition="clean", metric=metric)
        ]
        assert np.isnan(values).tolist() == [False, True, False, False]


def other_class(tensors):
    tensors["targets/noisy"][2] += 1


@pytest.mark.parametrize(("rule", "reference"), [("true", OTHER), ("dense_predicted", DENSE)])
def test_maps_of_different_classes_are_refused(files, rule, reference):
    ids = 1000 + torch.arange(COUNT)
    write_maps(files / "own.safetensors", ids)
    write_maps(files / "dense.safetensors", ids, change=other_class)
    message = (
        r"own\.safetensors explains class 2 of image 1002 \(noisy\) and \S+dense\.safetensors "
        "class 3"
    )
    with pytest.raises(InputError, match=message):
        compare(files, target=rule, references=[reference])
    assert not (files / "agreement.parquet").exists()


def test_dense_networks_of_two_seeds_may_predict_different_classes(files):
    """Their maps of that image say nothing of agreement; those of the others do."""
    ids = 1000 + torch.arange(COUNT)
    write_maps(files / "own.safetensors", ids)
    write_maps(files / "dense.safetensors", ids, change=other_class)
    table = compare(files, target="dense_predicted", references=[OTHER])
    for condition, undefined in (("clean", []), ("noisy", [1002])):
        for row in rows_of(table, condition=condition, explainer="grad"):
            assert np.isnan(row["value"]) == (row["image_id"] in undefined)
            assert np.isnan(row["value"]) or row["value"] == pytest.approx(1)


def test_metadata_hold_the_facts_of_the_metrics(files):
    for name in ("own", "dense"):
        write_maps(files / f"{name}.safetensors", 1000 + torch.arange(3))
    metadata = compare(files).schema.metadata
    facts = json.loads(metadata[b"metrics"])
    assert facts["top"]["settings"] == {"share": 0.2, "treatment": "absolute"}
    assert facts["ssim"]["resolution"] == "image"
    assert metadata[b"target_rule"] == b"true"


def test_no_reference_gives_no_rows(files):
    write_maps(files / "own.safetensors", 1000 + torch.arange(3))
    assert len(compare(files, (), references=[])) == 0


def test_files_that_do_not_fit_together(files):
    ids = torch.tensor([1001, 1002, 1003])
    write_maps(files / "own.safetensors", ids)

    def refused(match, ids=ids, **given):
        write_maps(files / "dense.safetensors", ids, **given)
        with pytest.raises(InputError, match=match):
            compare(files)

    refused(r"dense\.safetensors does not explain the same images", ids=ids.flip(0))
    refused(r"dense\.safetensors was not made from", data_hash="y")
    other = json.dumps({**FACTS, "cam": {"interpolation": "none"}})
    refused("does not hold 'cam' with the same parameters", explainers=other)

    def larger(tensors):
        tensors["cam/noisy"] = torch.rand(3, 4, 4)

    refused("does not hold 'cam/noisy' of the same shape", change=larger)

    write_maps(files / "dense.safetensors", ids)
    with pytest.raises(InputError, match=r"own\.safetensors holds no 'lrp/clean'"):
        compare(files, explainers={"lrp": {}})
    write_predictions(files / "predictions.parquet", 2)
    with pytest.raises(InputError, match=r"predictions\.parquet .*holds no image 1002"):
        compare(files)
    write_predictions(files / "predictions.parquet", COUNT)
    for name in ("own", "dense"):
        write_maps(files / f"{name}.safetensors", torch.tensor([1001, 1050]))
    with pytest.raises(InputError, match=r"test\.safetensors holds no image 1050"):
        compare(files)
    assert not list(files.glob("agreement*"))


def test_settings_that_cannot_be_used(files):
    for name in ("own", "dense"):
        write_maps(files / f"{name}.safetensors", 1000 + torch.arange(3))
    with pytest.raises(InputError, match="agreement needs the target true or dense_predicted"):
        compare(files, target="predicted")
    with pytest.raises(InputError, match="batch_size is 0"):
        compare(files, batch_size=0)
    with pytest.raises(InputError, match=r"1 files of references were given, and .* names 2"):
        compare(files, references=[DENSE, OTHER])
    with pytest.raises(InputError, match=r"agreement\.a\.method: unknown agreement metric 'spear"):
        compare(files, agreement={"a": {"method": "spearmann"}})
    with pytest.raises(InputError, match=r"agreement\.a: metric ssim names the unknown parameter"):
        compare(files, agreement={"a": {"method": "ssim", "parameters": {"b": 1}}})


def test_the_job_takes_identity_from_wildcards_and_density_from_the_masks(files):
    for name in ("own", "dense"):
        write_maps(files / f"{name}.safetensors", 1000 + torch.arange(3))
    masks = {"conv.weight": torch.tensor([True, False, False, False])}
    checkpoint = Checkpoint({"conv.weight": torch.ones(4)}, masks)
    write_checkpoint(files / "checkpoint.safetensors", checkpoint)
    names = {"dataset": "digits", "model": "cnn", "pruner": "random", "seed": "7", "level": "03"}
    score_checkpoint(
        settings_of(study="demo"),
        packed_test=files / "test.safetensors",
        checkpoint=files / "checkpoint.safetensors",
        predictions=files / "predictions.parquet",
        explanations=files / "own.safetensors",
        references=[files / "dense.safetensors"],
        output=files / "agreement" / "cam.parquet",
        wildcards=names,
        gpu=0,
    )
    table = read_table(files / "agreement" / "cam.parquet")
    found = {name: table[name].unique().to_pylist() for name in IDENTITY}
    expected = {**names, "study": "demo", "seed": 7, "level": 3, "density": 0.25}
    assert found == {name: [value] for name, value in expected.items()}


# Not ru_maxrss: Linux carries it over from the parent process, here pytest with all it holds.
PEAK = """
import pathlib, sys
sys.path.insert(0, sys.argv[2])
from test_agreement_compare import compare
only = {"explainers": {"grad": {}}, "conditions": ["clean"], "threads": 1}
compare(pathlib.Path(sys.argv[1]), batch_size=128, **only)
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
    """The two files' maps of 12,000 images and their ranks at once would be 225 MB."""
    peaks = []
    for count in (2000, 12_000):
        write_split(tmp_path / "test.safetensors", count, side=28)
        write_predictions(tmp_path / "predictions.parquet", count)
        for seed, name in enumerate(("own", "dense")):
            ids = 1000 + torch.arange(count)
            write_maps(tmp_path / f"{name}.safetensors", ids, seed, side=28)
        peaks.append(peak_kilobytes(tmp_path))
    assert peaks[1] - peaks[0] < 60_000, f"{peaks} kB"


def test_agreement_is_updated_entry_by_entry(files, caplog):
    """A metric that is added is computed alone; other maps of a reference reach their explainer."""
    caplog.set_level("INFO")
    ids = 1000 + torch.arange(COUNT)

    def maps(name, seed, grad=1):
        keys = {"cam": Key("s", "v"), "grad": Key(f"s {grad}", "v")}
        metadata = Stored({}, {}, {}, keys).metadata()
        write_maps(files / f"{name}.safetensors", ids, seed=seed, **metadata)

    def update(*metrics):
        caplog.clear()
        whole = settings_of()
        settings = settings_of(agreement={name: whole["agreement"][name] for name in metrics})
        names = {f"{e}/{m}": Key("s", "v") for m in metrics for e in ("cam", "grad")}
        score_family(
            settings,
            files / "test.safetensors",
            files / "own.safetensors",
            files / "predictions.parquet",
            files / "updated.parquet",
            None,
            IDENTITY,
            CPU,
            references=[files / "dense.safetensors"],
            wanted=Wanted({}, {}, names),
        )
        rows = read_table(files / "updated.parquet").to_pylist()
        keys = ("explainer", "condition", "metric", "image_id")
        return sorted(rows, key=lambda row: [row[key] for key in keys])

    maps("own", 1)
    maps("dense", 2)
    update("ranks")
    both = update("ranks", "ssim")
    assert "kept: 2; computed: 2 (ssim)" in caplog.text
    (files / "updated.parquet").unlink()
    assert update("ranks", "ssim") == both
    maps("dense", 2, grad=2)
    assert update("ranks", "ssim") == both
    assert "kept: 2; computed: 2 (grad)" in caplog.text
    assert update("ranks") == both
    assert "kept: 4; computed: 0 (none)" in caplog.text
