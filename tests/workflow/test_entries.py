"""What is valid stays: maps of an explainer and scores of a metric stand and fall alone."""

import os
import re
import shutil
from typing import Any

import pytest

from sparsight.io.entries import checksums, header_metadata
from tests.workflow.project import TINY, Project

LEVEL = "results/tiny/digits/tiny/seed1/tiny/level01"
MAPS, SCORES = f"{LEVEL}/explanations/cam.safetensors", f"{LEVEL}/scores/cam.parquet"
AGREEMENT = f"{LEVEL}/agreement/cam.parquet"
#: rules that make networks and files of entries
RULES = (
    *("make_rewind_point", "train_dense", "prune_level"),
    *("explain_images", "make_controls", "score_explanations", "compare_explanations"),
)
TWO_METRICS = {"metrics": ["soft_iou", "entropy"]}
OTHER = {"family": "cam", "method": "grad_cam", "parameters": {"layer": "conv2"}}


def with_explainer(name: str, **entry: Any) -> dict[str, Any]:
    """A change of the tiny study: another explainer, or other settings of one."""
    names = dict.fromkeys([*TINY["explainers"], name])
    return {
        "explainers": list(names),
        "catalogue": {**TINY["catalogue"], "explainers": {name: entry}},
    }


def planned(project: Project, *arguments: str) -> dict[str, int]:
    found = project.planned(*arguments)
    return {rule: found[rule] for rule in RULES if rule in found}


def computed(project: Project, rule: str) -> str:
    """What the job of level 1 computed, by its log."""
    name = f"results/tiny/logs/{rule}/digits__tiny__seed1__tiny__level01__cam.log"
    (found,) = re.findall(r"entries (kept: .*)$", (project.folder / name).read_text(), re.M)
    return str(found)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        pytest.param(
            with_explainer("other", **OTHER),
            {"explain_images": 4, "score_explanations": 4, "compare_explanations": 3},
            id="an explainer of a family that is there",
        ),
        pytest.param(
            with_explainer("grad_cam_pp_conv2", parameters={"layer": "conv1"}),
            {"explain_images": 4, "score_explanations": 4, "compare_explanations": 3},
            id="other settings of an explainer",
        ),
        pytest.param(
            {"metrics": ["soft_iou", "entropy"]}, {"score_explanations": 8}, id="a metric"
        ),
        pytest.param(
            {"agreement": ["ssim", "spearman"]}, {"compare_explanations": 3}, id="agreement"
        ),
        pytest.param({"explainers": ["control_edges"], "claims": []}, {}, id="an explainer less"),
        pytest.param({"agreement": [], "seeds": [1], "pruners": ["tiny"]}, {}, id="a pruner less"),
    ],
)
def test_a_change_of_the_study_plans_what_it_concerns(
    finished: Project, change: dict[str, Any], expected: dict[str, int]
) -> None:
    finished.configure(**change)
    assert planned(finished) == expected
    # Nothing is forced that a target does not need.
    assert planned(finished, f"{LEVEL}/checkpoint.safetensors") == {}
    finished.configure()
    assert finished.planned() == {}


def test_what_is_added_is_computed_alone_and_stays_when_it_is_left_out(finished: Project) -> None:
    folder = finished.folder
    before = checksums(header_metadata(folder / MAPS) or {})
    change = {**with_explainer("other", **OTHER), **TWO_METRICS}
    finished.configure(**change)
    finished.run("--cores", "2", MAPS, SCORES, AGREEMENT)
    assert computed(finished, "explain_images") == "kept: 1; computed: 1 (other)"
    # Both metrics of the new maps, and the new metric of the old ones.
    assert (
        computed(finished, "score_explanations") == "kept: 1; computed: 3 (entropy, other/soft_iou)"
    )
    assert computed(finished, "compare_explanations") == "kept: 1; computed: 1 (other)"
    after = checksums(header_metadata(folder / MAPS) or {})
    assert all(after[name] == before[name] for name in before if name)
    assert {"other/noisy"} == after.keys() - before.keys()

    finished.configure()
    assert planned(finished, MAPS, SCORES, AGREEMENT) == {}
    finished.configure(**change)
    assert planned(finished, MAPS, SCORES, AGREEMENT) == {}

    finished.raise_version("explain/cam.py", "GradCamPlusPlus")
    finished.run("--cores", "2", SCORES)
    assert computed(finished, "explain_images") == "kept: 1; computed: 1 (grad_cam_pp_conv2)"
    assert computed(finished, "score_explanations") == "kept: 2; computed: 2 (grad_cam_pp_conv2)"
    assert checksums(header_metadata(folder / MAPS) or {})["other/noisy"] == after["other/noisy"]
    finished.run("--cores", "2", "--forcerun", MAPS, "--until", "explain_images")
    assert computed(finished, "explain_images").startswith("kept: 0; computed: 2")


def test_tables_do_not_depend_on_the_order_in_which_entries_came(finished: Project) -> None:
    summary = "results/tiny/summary"
    targets = ["summarise", "summarise_agreement", "contrast"]
    finished.configure(metrics=["soft_iou", "entropy"], agreement=["ssim", "spearman"])
    finished.run("--cores", "2", *targets)
    names = ("scores.parquet", "agreement.csv", "contrasts.csv")
    updated = [(finished.folder / summary / name).read_bytes() for name in names]
    for part in ("scores", "agreement"):
        for path in finished.folder.glob(f"results/tiny/digits/*/*/*/*/{part}/*.parquet"):
            path.unlink()
    finished.run("--cores", "2", "--forcerun", *targets)
    assert [(finished.folder / summary / name).read_bytes() for name in names] == updated


def test_a_study_of_less_reads_its_own_entries_only(finished: Project) -> None:
    names = ("scores.parquet", "agreement.csv")
    targets = ["summarise", "summarise_agreement"]
    folder = finished.folder / "results/tiny/summary"
    before = [(folder / name).read_bytes() for name in names]
    finished.configure(metrics=["entropy"], agreement=["ssim", "spearman"], claims=[])
    finished.run("--cores", "2", *targets)
    assert [(folder / name).read_bytes() for name in names] != before
    finished.configure()
    assert planned(finished, *targets) == {}
    finished.run("--cores", "2", *targets)
    assert [(folder / name).read_bytes() for name in names] == before


def test_a_job_that_fails_leaves_the_old_file_and_is_planned_again(finished: Project) -> None:
    content = (finished.folder / MAPS).read_bytes()
    finished.configure(**with_explainer("other", **OTHER))
    finished.edit(
        "src/sparsight/explain/run.py", "    _log_gaps(gaps)\n", "    raise SystemExit(1)\n"
    )
    finished.edit(
        "src/sparsight/explain/run.py",
        "        writer = stack.enter_context(",
        "        raise SystemExit(1)\n        writer = stack.enter_context(",
    )
    assert finished.call("--cores", "1", MAPS).returncode
    assert (finished.folder / MAPS).read_bytes() == content
    assert planned(finished, MAPS) == {"explain_images": 1}


def test_other_inputs_are_noticed_whatever_the_times_of_files(finished: Project) -> None:
    """What Snakemake restores after a job has failed is newer than the inputs of the job."""
    checkpoint = finished.folder / LEVEL / "checkpoint.safetensors"
    assert planned(finished, MAPS) == {}
    time = checkpoint.stat().st_mtime_ns
    shutil.copyfile(finished.folder / LEVEL / "../level02/checkpoint.safetensors", checkpoint)
    os.utime(checkpoint, ns=(time, time))
    assert planned(finished, MAPS) == {"explain_images": 1}
