"""Which GPUs a job may use, with an nvidia-smi that is not NVIDIA's."""

import logging
from pathlib import Path

import pytest

from sparsight.io.errors import InputError
from sparsight.io.gpu import Gpu, visible_gpus, visible_names
from tests.unit.io.gpu_workers import environment, install_nvidia_smi

A, B, C = (f"GPU-{letter * 8}-0000-1111-2222-333333333333" for letter in "abc")
TABLE = f"0, {A}, 24564, Disabled\n1, {B}, 24564, [N/A]\n2, {C}, 81559, Enabled\n"  # C is divided
PART1, PART2 = "MIG-11111111-0000-0000-0000-000000000000", f"MIG-{C}/1/0"
LISTING = f"""GPU 0: NVIDIA GeForce RTX 4090 (UUID: {A})
GPU 1: NVIDIA GeForce RTX 4090 (UUID: {B})
GPU 2: NVIDIA H100 80GB HBM3 (UUID: {C})
  MIG 1g.10gb+me  Device  0: (UUID: {PART1})
  MIG 1c.3g.40gb Device 1: (UUID: {PART2})
"""
WHOLE = [Gpu(A, 24564, "0", A), Gpu(B, 24564, "1", B)]
PARTS = [Gpu(PART1, 10 * 896, "2", C), Gpu(PART2, 40 * 896, "2", C)]


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """Environment variables of a machine with two whole GPUs and a divided one."""
    return environment(tmp_path, PATH=install_nvidia_smi(tmp_path / "bin", TABLE, LISTING))


def test_all_are_visible_where_nobody_hides_any(environ: dict[str, str]) -> None:
    assert visible_gpus(environ) == WHOLE + PARTS


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("0", WHOLE[:1], id="a number"),
        pytest.param("1,0", [WHOLE[1], WHOLE[0]], id="numbers in their order"),
        pytest.param(" 1 , 1", [WHOLE[1]], id="named twice"),
        pytest.param(B, [WHOLE[1]], id="a UUID"),
        pytest.param("GPU-bb,GPU-aaaaaaaa-0000", [WHOLE[1], WHOLE[0]], id="UUIDs cut short"),
        pytest.param(PART1, PARTS[:1], id="a part"),
        pytest.param(PART2, PARTS[1:], id="a part as old drivers name it"),
        pytest.param("MIG-111", PARTS[:1], id="a part cut short"),
        pytest.param("2", PARTS, id="a divided card by its number"),
        pytest.param(C, PARTS, id="a divided card by its UUID"),
        pytest.param("0,-1,1", WHOLE[:1], id="-1 ends the list"),
        pytest.param("1,", [WHOLE[1]], id="a comma at the end"),
        pytest.param("", [], id="empty"),
        pytest.param("-1", [], id="-1"),
        pytest.param("NoDevFiles", [], id="of SLURM, for none"),
    ],
)
def test_what_is_visible_is_respected(
    environ: dict[str, str], text: str, expected: list[Gpu]
) -> None:
    assert visible_gpus({**environ, "CUDA_VISIBLE_DEVICES": text}) == expected


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("3", "no GPU"),
        ("GPU-dd", "no GPU"),
        ("0,MIG-3", "no GPU"),
        ("cuda:0", "no GPU"),
        ("GPU-", "several GPUs"),
    ],
)
def test_a_name_that_means_none_or_several_is_refused(
    environ: dict[str, str], text: str, what: str
) -> None:
    with pytest.raises(InputError, match=f"names '{text.split(',')[-1]}', which is {what} here"):
        visible_gpus({**environ, "CUDA_VISIBLE_DEVICES": text})


def test_names_are_read_without_asking_for_gpus() -> None:
    assert visible_names({}) is None
    assert visible_names({"CUDA_VISIBLE_DEVICES": "0, 3"}) == ["0", "3"]
    assert visible_names({"CUDA_VISIBLE_DEVICES": ""}) == []


def test_a_list_of_ones_own_comes_before_nvidia_smi(environ: dict[str, str]) -> None:
    environ["SPARSIGHT_GPUS"] = f"0=16000, {B}=8000"
    own = [Gpu("0", 16000, "0", "0"), Gpu(B, 8000, B, B)]
    assert visible_gpus(environ) == own
    assert visible_gpus({**environ, "CUDA_VISIBLE_DEVICES": "GPU-b"}) == own[1:]
    assert visible_gpus({**environ, "CUDA_VISIBLE_DEVICES": "0"}) == own[:1]


@pytest.mark.parametrize("text", ["0", "0=", "0=16GB", "=16000", "0=16000,"])
def test_a_list_that_cannot_be_read_is_a_sentence(text: str) -> None:
    with pytest.raises(InputError, match=r"SPARSIGHT_GPUS holds .* write for example"):
        visible_gpus({"SPARSIGHT_GPUS": text})


def test_unknown_memory_is_asked_for(tmp_path: Path) -> None:
    table = f"0, {A}, [N/A], [N/A]\n"
    path = install_nvidia_smi(tmp_path / "bin", table)
    with pytest.raises(InputError, match=f"how much memory GPU 0 has; .*SPARSIGHT_GPUS={A}=16000"):
        visible_gpus(environment(tmp_path, PATH=path))


def test_without_nvidia_smi_nobody_knows(tmp_path: Path) -> None:
    assert visible_gpus({"PATH": str(tmp_path)}) is None
    assert visible_gpus({"PATH": str(tmp_path), "CUDA_VISIBLE_DEVICES": "0"}) is None
    assert visible_gpus({"PATH": str(tmp_path), "CUDA_VISIBLE_DEVICES": ""}) == []


def test_without_a_driver_nvidia_smi_is_heard_and_not_believed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    text = "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.\n"
    path = install_nvidia_smi(tmp_path / "bin", text, status=9)
    with caplog.at_level(logging.WARNING):
        assert visible_gpus(environment(tmp_path, PATH=path)) is None
    assert "couldn't communicate" in caplog.text


def test_a_machine_whose_gpus_are_gone_has_none(tmp_path: Path) -> None:
    path = install_nvidia_smi(tmp_path / "bin", "")
    assert visible_gpus(environment(tmp_path, PATH=path)) == []
