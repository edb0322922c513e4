"""Benchmark files as Snakemake 9 writes them."""

import json

import pandas as pd
import pytest

from sparsight.analysis.costs import gather_costs
from sparsight.analysis.tables import TABLES
from sparsight.io.errors import InputError
from sparsight.study.settings import PATTERNS

PATTERN = (
    "results/{study}/{dataset}/{model}/seed{seed}/{pruner}/level{level}/benchmarks/{rule}.jsonl"
)


@pytest.fixture
def write(tmp_path):
    def write(path, *records):
        whole = tmp_path / path
        whole.parent.mkdir(parents=True, exist_ok=True)
        whole.write_text("".join(json.dumps(record) + "\n" for record in records))
        return whole

    return write


def snakemake_record(collected=True):
    """A record made by Snakemake itself."""
    benchmark = pytest.importorskip("snakemake.benchmark")
    record = benchmark.BenchmarkRecord(
        running_time=12.5, max_rss=300.25, max_vms=1, max_uss=1, max_pss=1, io_in=0, io_out=0,
        cpu_usage=100, cpu_time=11.0, input=[],
    )  # fmt: skip
    record.data_collected = collected
    return json.loads(record.to_json(False))


def test_plain_records_are_named_by_their_path(tmp_path, write):
    path = write(
        "results/demo/digits/cnn/seed10/random/level03/benchmarks/prune_level.jsonl",
        snakemake_record(),
    )
    gather_costs([path], tmp_path / "costs.csv", {"patterns": [PATTERN]})
    frame = pd.read_csv(tmp_path / "costs.csv")
    assert list(frame.columns) == TABLES["costs"].names
    row = frame.iloc[0].to_dict()
    assert pd.isna(row.pop("family"))
    assert row == {
        "rule": "prune_level", "study": "demo", "dataset": "digits", "model": "cnn", "seed": 10,
        "pruner": "random", "level": 3, "seconds": 12.5, "cpu_seconds": 11.0, "max_rss_mb": 300.25,
    }  # fmt: skip


def test_what_was_not_sampled_is_empty(tmp_path, write):
    path = write("a.jsonl", snakemake_record(collected=False))
    gather_costs([path], tmp_path / "costs.csv", {"patterns": ["{rule}.jsonl"]})
    row = pd.read_csv(tmp_path / "costs.csv").iloc[0]
    assert row["seconds"] == 12.5
    assert pd.isna(row["cpu_seconds"])
    assert pd.isna(row["max_rss_mb"])


def test_of_a_job_that_was_started_warm_only_the_time_is_known(tmp_path, write):
    """Snakemake samples the client, which has imported nothing."""
    path = write("a.jsonl", {"s": 2.5, "cpu_time": 0.03, "max_rss": 14.5})
    gather_costs([path], tmp_path / "costs.csv", {"patterns": ["{rule}.jsonl"]})
    row = pd.read_csv(tmp_path / "costs.csv").iloc[0]
    assert row["seconds"] == 2.5
    assert pd.isna(row["cpu_seconds"])
    assert pd.isna(row["max_rss_mb"])


def test_names_with_two_underscores_between_them(tmp_path, write):
    record = {"s": 1, "cpu_time": 1, "max_rss": 90}
    folder = "results/demo/benchmarks"
    paths = [
        write(f"{folder}/score/digits_8__cnn_a__seed3__random__level02__cam.jsonl", record),
        write(f"{folder}/prune/digits_8__cnn_a__seed3__random__level02.jsonl", record),
        write(f"{folder}/begin/digits_8__cnn_a__seed3__start.jsonl", record),
    ]
    place = "benchmarks/{rule}/{dataset}__{model}__seed{seed}__"
    ends = ("{pruner}__level{level}__{family}", "{pruner}__level{level}", "start")
    settings = {"study": "demo", "patterns": [f"{place}{end}.jsonl" for end in ends]}
    gather_costs(paths, tmp_path / "costs.csv", settings)
    lines = (tmp_path / "costs.csv").read_text().splitlines()[1:]
    assert lines == [
        "begin,demo,digits_8,cnn_a,3,,,,1,1,90",
        "prune,demo,digits_8,cnn_a,3,random,2,,1,1,90",
        "score,demo,digits_8,cnn_a,3,random,2,cam,1,1,90",
    ]


def test_the_paths_of_all_rules(tmp_path, write):
    record = {"s": 1, "cpu_time": 1, "max_rss": 90}
    here = "results/demo/benchmarks"
    paths = [
        "data/benchmarks/prepare_dataset__digits_8.jsonl",
        f"{here}/contrast.jsonl",
        f"{here}/draw_accuracy/digits_8__cnn_a.jsonl",
        f"{here}/draw_metric/digits_8__cnn_a__soft_iou.jsonl",
        f"{here}/explain/digits_8__cnn_a__seed3__random__level02__spade_fast__cam.jsonl",
        f"{here}/make_controls/digits_8__controls.jsonl",
        f"{here}/make_epoch_point/digits_8__cnn_a__seed3__epoch5.jsonl",
        f"{here}/make_rewind_point/digits_8__cnn_a__seed3__start.jsonl",
        f"{here}/resample_images/digits_8__cnn_a__seed3__random.jsonl",
    ]
    files = [write(path, record) for path in paths]
    gather_costs(files, tmp_path / "costs.csv", {"study": "demo", "patterns": list(PATTERNS)})
    lines = (tmp_path / "costs.csv").read_text().splitlines()[1:]
    assert lines == [
        "contrast,demo,,,,,,,1,1,90",
        "draw_accuracy,demo,digits_8,cnn_a,,,,,1,1,90",
        "draw_metric,demo,digits_8,cnn_a,,,,soft_iou,1,1,90",
        "explain,demo,digits_8,cnn_a,3,random,2,spade_fast__cam,1,1,90",
        "make_controls,demo,digits_8,,,,,controls,1,1,90",
        "make_epoch_point,demo,digits_8,cnn_a,3,,,5,1,1,90",
        "make_rewind_point,demo,digits_8,cnn_a,3,,,,1,1,90",
        "prepare_dataset,demo,digits_8,,,,,,1,1,90",
        "resample_images,demo,digits_8,cnn_a,3,random,,,1,1,90",
    ]


def test_repeats_sorting_and_file_order(tmp_path, write):
    paths = [
        write(f"x/{seed}.jsonl", *({"s": s, "cpu_time": s, "max_rss": s} for s in (2, 1)))
        for seed in (9, 10)
    ]
    settings = {"patterns": ["{rule}/{seed}.jsonl"]}
    gather_costs(paths, tmp_path / "one.csv", settings)
    gather_costs(paths[::-1], tmp_path / "two.csv", settings)
    assert (tmp_path / "one.csv").read_bytes() == (tmp_path / "two.csv").read_bytes()
    frame = pd.read_csv(tmp_path / "one.csv")
    assert list(zip(frame["seed"], frame["seconds"], strict=True)) == [
        (9, 1),
        (9, 2),
        (10, 1),
        (10, 2),
    ]


def test_refusals(tmp_path, write):
    plain = write("x/1.jsonl", {"s": 1, "cpu_time": 1, "max_rss": 1})
    with pytest.raises(InputError, match="fits no benchmark pattern"):
        gather_costs([plain], tmp_path / "costs.csv", {"patterns": [PATTERN]})
    broken, settings = write("x/2.jsonl", {"seconds": 1}), {"patterns": ["{rule}/{seed}.jsonl"]}
    with pytest.raises(InputError, match="not a benchmark"):
        gather_costs([broken], tmp_path / "costs.csv", settings)
    with pytest.raises(InputError, match="does not exist"):
        gather_costs([tmp_path / "x" / "3.jsonl"], tmp_path / "costs.csv", settings)
