"""The explain job: what is in its file, and that memory does not grow with the images."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from sparsight.data.packed import PackedSplit
from sparsight.explain.base import ImageBatch, build_explainers, explain_batch
from sparsight.explain.run import completeness_gaps, explain_family, on_the_network
from sparsight.io.arrays import read_arrays, read_metadata
from sparsight.io.entries import Key, Wanted, checksums, header_metadata
from sparsight.io.errors import InputError
from sparsight.io.tables import write_table

CPU = torch.device("cpu")
NETWORK_FAMILY = {
    "pp": {"family": "cam", "method": "grad_cam_pp", "parameters": {"layer": "conv2"}},
    "saliency": {"family": "cam", "method": "saliency", "parameters": {}},
}
CONTROLS = {name: {"family": "controls", "method": name} for name in ("random", "centre", "edges")}

MEMORY_SCRIPT = """
import json, sys
from pathlib import Path
import torch
from sparsight.explain.run import explain_family
from sparsight.models.thesis_cnn import ThesisCnn

def peak_mebibytes():
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024

small, large, predictions, output, settings = sys.argv[1:]
for packed in (small, large):
    # Resets the peak: that of the imports would hide what comes after.
    Path("/proc/self/clear_refs").write_text("5")
    explain_family(json.loads(settings), Path(packed), Path(output), ThesisCnn(),
                   Path(predictions), None, torch.device("cpu"))
    print(peak_mebibytes())
"""


def settings_of(explainers: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {
        "explainers": explainers,
        "conditions": ["clean", "noisy"],
        "images": 20,
        "batch_size": 8,
        "target": "true",
        "threads": 1,
        **changes,
    }


def write_predictions(path: Path, count: int, shift: int) -> Path:
    """Predicts label + shift in condition clean and label + shift + 1 in noisy, ids shuffled."""
    order = torch.randperm(count)
    conditions, ids, predicted = [], [], []
    for extra, condition in enumerate(("clean", "noisy")):
        conditions += [condition] * count
        ids += (order + 1000).tolist()
        predicted += ((order + shift + extra) % 10).tolist()
    write_table(path, {"image_id": ids, "condition": conditions, "predicted": predicted})
    return path


@pytest.fixture
def packed(tmp_path: Path, write_packed: Callable[[Path, int], Path]) -> Path:
    return write_packed(tmp_path / "test.safetensors", 30)


@pytest.fixture
def predictions(tmp_path: Path) -> Path:
    return write_predictions(tmp_path / "predictions.parquet", 30, 2)


@pytest.fixture(autouse=True)
def deterministic_mode_is_reset() -> Any:
    yield
    torch.use_deterministic_algorithms(False)


def subset(packed: Path, count: int) -> Any:
    with PackedSplit.open(packed) as split:
        return split.select(split.subset(count))


def test_file_holds_the_maps_of_the_subset_in_order(
    tmp_path: Path, packed: Path, predictions: Path, network: nn.Module
) -> None:
    output = tmp_path / "cam.safetensors"
    explain_family(settings_of(NETWORK_FAMILY), packed, output, network, predictions, None, CPU)
    found, batch = read_arrays(output), subset(packed, 20)
    assert sorted(found) == sorted(
        ["image_ids"]
        + [
            f"{name}/{condition}"
            for name in ("pp", "saliency", "targets", "predictions")
            for condition in ("clean", "noisy")
        ]
    )
    assert torch.equal(found["image_ids"], batch.image_ids)
    assert not torch.equal(batch.image_ids, torch.arange(1000, 1020))
    for extra, condition in enumerate(("clean", "noisy")):
        assert torch.equal(found[f"targets/{condition}"], batch.labels)
        assert torch.equal(found[f"predictions/{condition}"], (batch.labels + 2 + extra) % 10)
        expected = explain_batch(
            build_explainers(NETWORK_FAMILY),
            ImageBatch(network, batch.images(condition), batch.labels, batch.image_ids),
        )
        for name, maps in expected.items():
            torch.testing.assert_close(found[f"{name}/{condition}"], maps, atol=1e-6, rtol=1e-4)
    assert not torch.equal(found["pp/clean"], found["pp/noisy"])


def test_metadata_hold_facts_and_the_rules_of_the_file(
    tmp_path: Path, packed: Path, predictions: Path, network: nn.Module
) -> None:
    output = tmp_path / "cam.safetensors"
    explain_family(settings_of(NETWORK_FAMILY), packed, output, network, predictions, None, CPU)
    metadata = read_metadata(output)
    explainers = json.loads(metadata.pop("explainers"))
    assert metadata == {
        "dataset": "synthetic",
        "split": "test",
        "data_hash": "abc",
        "conditions": '["clean", "noisy"]',
        "images": "20",
        "target": "true",
    }
    assert explainers["pp"] == {
        "method": "grad_cam_pp",
        "parameters": {"layer": "conv2", "epsilon": 0.0},
        "reference": "Chattopadhyay et al. 2018, arXiv:1710.11063",
        "signed": False,
        "reduction": "weighted sum",
        "value_range": "0 or more",
        "cost": 3,
        "native": "layer",
        "interpolation": "bilinear",
        "needs_network": True,
        "control": False,
    }
    assert explainers["saliency"]["parameters"] == {"reduction": "max"}


def test_gaps_by_hand() -> None:
    # The logit is 2 x: 4 for the image, 0 for black.
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 1, bias=False)).requires_grad_(False)
    model[1].weight.fill_(2.0)
    images, targets = torch.full((1, 1, 2, 2), 0.5), torch.tensor([0])
    batch = ImageBatch(model, images, targets, targets)
    maps = {"whole": torch.ones(1, 2, 2), "part": torch.full((1, 2, 2), 0.75)}
    found = completeness_gaps(maps, batch)
    assert {name: gaps.tolist() for name, gaps in found.items()} == {"whole": [0.0], "part": [0.25]}
    # Nothing is to be explained: of 0 nothing is missing, of anything else everything.
    dark = completeness_gaps({"none": maps["whole"] * 0, **maps}, replace(batch, images=images * 0))
    assert dark["none"].tolist() == [0.0]
    assert dark["part"].tolist() == [float("inf")]


def test_gaps_are_kept_and_logged(
    tmp_path: Path,
    packed: Path,
    predictions: Path,
    network: nn.Module,
    caplog: pytest.LogCaptureFixture,
) -> None:
    steps = {"few": 1, "many": 100}
    entries: dict[str, Any] = {
        name: {"family": "g", "method": "integrated_gradients", "parameters": {"n_steps": count}}
        for name, count in steps.items()
    }
    entries["lift"] = {"family": "g", "method": "deep_lift"}
    output = tmp_path / "g.safetensors"
    with caplog.at_level("INFO"):
        explain_family(settings_of(entries), packed, output, network, predictions, None, CPU)
    found = read_arrays(output)
    gaps = {name: found[f"completeness_gaps/{name}/noisy"] for name in entries}
    assert gaps["many"].mean() < gaps["few"].mean()
    assert gaps["lift"].max() < 1e-3
    for name in entries:
        assert any(f"{name}/noisy" in record.getMessage() for record in caplog.records)


def test_the_cost_kept_is_that_of_the_images(
    tmp_path: Path, write_packed: Callable[..., Path], predictions: Path
) -> None:
    """The fact is stated for 28x28; what the scoring reads is what these images take."""
    packed = write_packed(tmp_path / "small.safetensors", 30, 8)
    entries = {name: {"family": "o", "method": name} for name in ("occlusion", "saliency")}
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    output = tmp_path / "o.safetensors"
    settings = settings_of(entries, images=2)
    explain_family(settings, packed, output, model, predictions, None, CPU)
    kept = json.loads(read_metadata(output)["explainers"])
    assert {name: facts["cost"] for name, facts in kept.items()} == {"occlusion": 10, "saliency": 3}


def test_controls_need_no_network(tmp_path: Path, packed: Path) -> None:
    output = tmp_path / "controls.safetensors"
    explain_family(settings_of(CONTROLS, images="all"), packed, output, None, None, None, CPU)
    found = read_arrays(output)
    assert sorted({name.partition("/")[0] for name in found}) == [
        "centre",
        "edges",
        "image_ids",
        "random",
    ]
    assert found["edges/noisy"].shape == (30, 28, 28)
    assert "target" not in read_metadata(output)


@pytest.mark.parametrize(
    ("rule", "shifts"), [("true", (0, 0)), ("predicted", (2, 3)), ("dense_predicted", (5, 6))]
)
def test_targets_follow_the_rule(
    tmp_path: Path,
    packed: Path,
    predictions: Path,
    network: nn.Module,
    rule: str,
    shifts: tuple[int, int],
) -> None:
    output = tmp_path / "cam.safetensors"
    dense = write_predictions(tmp_path / "dense.parquet", 30, 5)
    settings = settings_of(NETWORK_FAMILY, target=rule)
    explain_family(settings, packed, output, network, predictions, dense, CPU)
    found, batch = read_arrays(output), subset(packed, 20)
    for condition, shift in zip(("clean", "noisy"), shifts, strict=True):
        targets = (batch.labels + shift) % 10
        assert torch.equal(found[f"targets/{condition}"], targets)
        expected = build_explainers(NETWORK_FAMILY)["saliency"].explain(
            ImageBatch(network, batch.images(condition), targets, batch.image_ids, "saliency")
        )
        torch.testing.assert_close(found[f"saliency/{condition}"], expected, atol=1e-6, rtol=1e-4)


def test_bytes_are_reproducible(
    tmp_path: Path, packed: Path, predictions: Path, network: nn.Module
) -> None:
    settings = settings_of({**NETWORK_FAMILY, **CONTROLS})
    for name in ("first", "second"):
        explain_family(settings, packed, tmp_path / name, network, predictions, None, CPU)
    assert (tmp_path / "first").read_bytes() == (tmp_path / "second").read_bytes()


def test_control_files_do_not_depend_on_the_batch_size(tmp_path: Path, packed: Path) -> None:
    for size in (1, 7, 50):
        settings = settings_of(CONTROLS, batch_size=size)
        explain_family(settings, packed, tmp_path / str(size), None, None, None, CPU)
    assert len({(tmp_path / str(size)).read_bytes() for size in (1, 7, 50)}) == 1


def test_network_is_frozen_and_then_left_as_it_was(
    tmp_path: Path, packed: Path, predictions: Path, network: nn.Module
) -> None:
    network.train().requires_grad_(True)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    states: set[tuple[bool, bool]] = set()
    network.register_forward_hook(
        lambda module, *_: states.add((module.training, next(module.parameters()).requires_grad))
    )
    output = tmp_path / "cam.safetensors"
    explain_family(settings_of(NETWORK_FAMILY), packed, output, network, predictions, None, CPU)
    assert states == {(False, False)}
    assert network.training
    assert all(p.requires_grad and p.grad is None for p in network.parameters())
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"explainers": {}}, "'explainers' is empty"),
        ({"target": "best"}, "target 'best' is not one of true, predicted, dense_predicted"),
        ({"target": "dense_predicted"}, "needs the predictions.parquet of the dense network"),
        ({"images": 31}, "subset of 31 images"),
        ({"conditions": ["foggy"]}, "condition 'foggy' holds no image"),
        (
            {"explainers": {"a": {"method": "grad_cam", "parameters": {"layer": "conv3"}}}},
            r"no layer 'conv3'",
        ),
    ],
)
def test_bad_settings_are_one_sentence_and_leave_nothing(
    tmp_path: Path,
    packed: Path,
    predictions: Path,
    network: nn.Module,
    changes: dict[str, Any],
    sentence: str,
) -> None:
    output = tmp_path / "out" / "cam.safetensors"
    settings = {**settings_of(NETWORK_FAMILY), **changes}
    with pytest.raises(InputError, match=sentence):
        explain_family(settings, packed, output, network, predictions, None, CPU)
    assert not output.parent.exists() or not list(output.parent.iterdir())


def test_predictions_must_cover_the_subset(
    tmp_path: Path, packed: Path, network: nn.Module
) -> None:
    short = write_predictions(tmp_path / "short.parquet", 12, 0)
    settings = settings_of(NETWORK_FAMILY, images="all")
    with pytest.raises(InputError, match=r"short\.parquet under .* holds no image 1012"):
        explain_family(settings, packed, tmp_path / "o", network, short, None, CPU)


def test_a_network_explainer_without_a_network_is_refused(tmp_path: Path, packed: Path) -> None:
    with pytest.raises(InputError, match="explainer 'pp' needs a network"):
        explain_family(settings_of(NETWORK_FAMILY), packed, tmp_path / "o", None, None, None, CPU)


def test_a_network_without_predictions_is_refused(
    tmp_path: Path, packed: Path, network: nn.Module
) -> None:
    with pytest.raises(InputError, match=r"needs the predictions\.parquet"):
        explain_family(
            settings_of(NETWORK_FAMILY), packed, tmp_path / "o", network, None, None, CPU
        )


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="Linux tells peak memory")
def test_peak_memory_does_not_grow_with_the_images(
    tmp_path: Path, write_packed: Callable[[Path, int], Path]
) -> None:
    # 8,000 images give 160 MiB of maps: kept together, they would show.
    small = write_packed(tmp_path / "small.safetensors", 500)
    large = write_packed(tmp_path / "large.safetensors", 8000)
    predictions = write_predictions(tmp_path / "predictions.parquet", 8000, 0)
    family = {**CONTROLS, "pp": NETWORK_FAMILY["pp"]}
    settings = settings_of(family, images="all", batch_size=100)
    arguments = [small, large, predictions, tmp_path / "out", json.dumps(settings)]
    done = subprocess.run(
        [sys.executable, "-c", MEMORY_SCRIPT, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        check=True,
    )
    before, after = map(float, done.stdout.split())
    assert after - before < 30


def test_random_maps_are_equal_in_a_subset_and_in_all(tmp_path: Path, packed: Path) -> None:
    found: dict[Any, dict[str, Tensor]] = {}
    for images in (9, "all"):
        settings = settings_of(CONTROLS, images=images)
        explain_family(settings, packed, tmp_path / str(images), None, None, None, CPU)
        found[images] = read_arrays(tmp_path / str(images))
    rows = torch.isin(found["all"]["image_ids"], found[9]["image_ids"])
    assert torch.equal(found["all"]["random/clean"][rows], found[9]["random/clean"])


# -------------------------------------------------------------------------- entries of a file


def wanted_of(**versions: str) -> Wanted:
    """Explainers of the family with the version of each, as entries."""
    settings = {"conditions": ["clean", "noisy"], "images": 20}
    return Wanted(settings, {"explaining": 1}, {n: Key("s", v) for n, v in versions.items()})


@pytest.fixture
def explain(
    tmp_path: Path,
    packed: Path,
    predictions: Path,
    network: nn.Module,
    caplog: pytest.LogCaptureFixture,
) -> Callable[..., dict[str, str]]:
    """Function that updates `cam.safetensors`: the checksums of its tensors."""

    def run(wanted: Wanted, **more: Any) -> dict[str, str]:
        caplog.clear()
        caplog.set_level("INFO")
        output = tmp_path / "cam.safetensors"
        explainers = {name: NETWORK_FAMILY[name] for name in wanted.keys}
        explain_family(
            settings_of(explainers),
            packed,
            output,
            network,
            predictions,
            None,
            CPU,
            wanted=wanted,
            inputs={"test": packed, "predictions": predictions},
            **more,
        )
        return checksums(header_metadata(output) or {})

    return run


def test_an_explainer_is_added_to_the_others(
    explain: Callable[..., dict[str, str]], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    whole = explain(wanted_of(pp="1", saliency="1"))
    bytes_at_once = (tmp_path / "cam.safetensors").read_bytes()
    (tmp_path / "cam.safetensors").unlink()
    before = explain(wanted_of(pp="1"))
    after = explain(wanted_of(pp="1", saliency="1"))
    assert "kept: 1; computed: 1 (saliency)" in caplog.text
    assert {name: after[name] for name in before if name} == {n: d for n, d in before.items() if n}
    assert after == whole
    # In whatever order they came, the file is the same.
    assert (tmp_path / "cam.safetensors").read_bytes() == bytes_at_once


def test_an_explainer_that_changed_is_explained_alone(
    explain: Callable[..., dict[str, str]], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    explain(wanted_of(pp="1", saliency="1"))
    explain(wanted_of(pp="1", saliency="2"))
    assert "kept: 1; computed: 1 (saliency)" in caplog.text
    # One that is not named now stays, and is there when it is named again.
    explain(wanted_of(pp="2"))
    assert "kept: 1; computed: 1 (pp)" in caplog.text
    output = tmp_path / "cam.safetensors"
    content, time = output.read_bytes(), output.stat().st_mtime_ns
    explain(wanted_of(pp="2", saliency="2"))
    assert "kept: 2; computed: 0 (none)" in caplog.text
    assert output.read_bytes() == content
    assert output.stat().st_mtime_ns > time, "or its job would be planned for ever"
    assert set(json.loads(read_metadata(output)["explainers"])) == {"pp", "saliency"}


def test_all_maps_go_with_other_predictions_and_when_they_are_forced(
    explain: Callable[..., dict[str, str]], predictions: Path, caplog: pytest.LogCaptureFixture
) -> None:
    explain(wanted_of(pp="1", saliency="1"))
    write_predictions(predictions, 30, 3)
    explain(wanted_of(pp="1"))
    assert "kept: 0; computed: 1 (pp)" in caplog.text
    explain(replace(wanted_of(pp="1"), anew=True))
    assert "kept: 0; computed: 1 (pp)" in caplog.text


@pytest.mark.parametrize("damage", ["cut", "changed", "empty", "emptied"])
def test_a_damaged_file_is_made_again_as_a_whole(
    explain: Callable[..., dict[str, str]], tmp_path: Path, damage: str
) -> None:
    whole = explain(wanted_of(pp="1", saliency="1"))
    output = tmp_path / "cam.safetensors"
    content = output.read_bytes()
    damaged = {
        "cut": content[:-100],
        "changed": content[:-1] + bytes([content[-1] ^ 1]),
        "empty": b"",
        "emptied": bytes(len(content)),
    }
    output.write_bytes(damaged[damage])
    assert explain(wanted_of(pp="1", saliency="1")) == whole
    assert output.read_bytes() == content


def test_a_kill_leaves_the_old_file(explain: Callable[..., dict[str, str]], tmp_path: Path) -> None:
    explain(wanted_of(pp="1"))
    output = tmp_path / "cam.safetensors"
    content, batches_explained = output.read_bytes(), []

    def killed(explainers: Any, batch: ImageBatch, condition: str) -> Any:
        batches_explained.append(condition)
        if len(batches_explained) == 4:
            os.kill(os.getpid(), signal.SIGKILL)
        return on_the_network(explainers, batch, condition)

    child = os.fork()
    if child == 0:
        explain(wanted_of(pp="1", saliency="1"), explain=killed)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    assert output.read_bytes() == content
    assert len(list(tmp_path.glob(".cam*"))) == 1, "it was killed while it wrote"
    assert set(explain(wanted_of(pp="1", saliency="1"))) > {"pp/clean", "saliency/clean"}
    assert not list(tmp_path.glob(".cam*"))
