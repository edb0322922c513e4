"""Planning studies of about 1,000, 10,000 and 30,000 jobs: time a job, and peak memory.

`PLANNING_JOBS=1000,10000 make bench ARGS=planning` leaves out the largest.
"""

import json
import math
import os
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sidebyside import Row

ROOT = Path(__file__).parents[1]
GOAL_SECONDS, GOAL_GROWTH = 30.0, 1.3
#: jobs, about, to seeds and levels of each pruner
SIZES = {1_000: (5, 2), 10_000: (5, 19), 30_000: (15, 19)}
PRUNERS, FAMILIES = 7, 4

# A process of its own between this one and Snakemake: the peak memory of a child counts that of the
# process from which it was started, and this one has torch in memory.
CHILD = """
import json, os, subprocess, sys, time

started = time.perf_counter()
with open(sys.argv[1], "w") as output:
    child = subprocess.Popen(sys.argv[2:], stdout=output, stderr=subprocess.STDOUT)
    _, status, usage = os.wait4(child.pid, 0)
print(json.dumps({
    "status": os.waitstatus_to_exitcode(status),
    "wall": time.perf_counter() - started,
    "cpu": usage.ru_utime + usage.ru_stime,
    "peak": 1024 * usage.ru_maxrss,
}))
"""


@dataclass(frozen=True)
class Planned:
    """A dry run: how many jobs, CPU and wall-clock seconds, and bytes of memory at its peak."""

    jobs: int
    cpu: float
    wall: float
    peak: int


def rows() -> list[Row]:
    """Each size, and how the time of a job grows from 10,000 to 30,000 of them."""
    given = os.environ.get("PLANNING_JOBS", "")
    wanted = [int(size) for size in given.split(",")] if given else list(SIZES)
    unknown = [size for size in wanted if size not in SIZES]
    if unknown:
        sys.exit(f"PLANNING_JOBS is {given}; choose among {', '.join(map(str, SIZES))}.")
    found = {size: planned(study(*SIZES[size])) for size in wanted}
    return rows_of(found)


def rows_of(found: dict[int, Planned]) -> list[Row]:
    """The rows of some sizes."""
    lines = []
    for size, plan in found.items():
        name = (
            f"plan {plan.jobs:,} jobs, CPU ({plan.wall:.0f} s in all, "
            f"{1000 * plan.cpu / plan.jobs:.2f} ms a job, peak {plan.peak / 1e9:.2f} GB)"
        )
        if size == 10_000:
            ratio = GOAL_SECONDS / plan.cpu
            row = Row(name, plan.cpu, GOAL_SECONDS, "the goal", ratio, ratio, ratio, "≥ 1")
        else:
            row = Row(name, plan.cpu, math.nan, "", math.nan, math.nan, math.nan, "reported")
        lines.append(row)
    if {10_000, 30_000} <= set(found):
        large, small = (1000 * found[n].cpu / found[n].jobs for n in (30_000, 10_000))
        name = f"a job among 30,000, CPU: {large / small:.2f} times as long as among 10,000"
        ratio = small / large
        goal = f"≥ {1 / GOAL_GROWTH:.2f} ({GOAL_GROWTH} times as long)"
        other = "a job among 10,000"
        lines.append(Row(name, large, small, other, ratio, ratio, ratio, goal, "ms"))
    return lines


def study(seeds: int, levels: int) -> dict[str, Any]:
    """A configuration with four families of explainers on seven chains and a retraining a seed."""
    pruners = {
        f"pruner{index}": {"criterion": "random", "rate": 0.2, "levels": levels}
        for index in range(PRUNERS)
    }
    explainers = {
        f"map{index}": {"family": f"family{index}", "method": "saliency"}
        for index in range(FAMILIES)
    }
    return {
        "study": "planning",
        "datasets": ["digits"],
        "models": ["thesis_cnn_digits"],
        "seeds": list(range(seeds)),
        "pruners": [*pruners, "retrain"],
        "explainers": [*explainers, "control_random"],
        "metrics": [
            *("soft_iou", "affine_iou", "area_matched_iou", "pointing_game", "pixel_roc_auc"),
            *("gini_sparseness", "entropy"),
        ],
        "explaining": {"conditions": ["noisy"], "images": "all"},
        "disk_budget_gb": 1_000_000,
        "catalogue": {"pruners": pruners, "explainers": explainers},
    }


def planned(config: dict[str, Any]) -> Planned:
    """Plan a study in an empty folder."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        # JSON is YAML too
        (folder / "planning.yaml").write_text(json.dumps(config), encoding="utf-8")
        command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")]
        command += ["--workflow-profile", str(ROOT / "profiles" / "default")]
        command += ["--configfile", "planning.yaml", "--dry-run", "--quiet", "all"]
        printed = folder / "printed"
        done = subprocess.run(
            [sys.executable, "-c", CHILD, str(printed), *command],
            cwd=folder,
            check=True,
            capture_output=True,
            text=True,
        )
        measured = json.loads(done.stdout)
        text = printed.read_text(encoding="utf-8")
        if measured["status"]:
            sys.exit(f"The dry run failed: {text[-2000:]}")
    return Planned(job_count(text), measured["cpu"], measured["wall"], measured["peak"])


def job_count(text: str) -> int:
    """The number of jobs that a dry run printed, without the target."""
    found = re.search(r"^total +(\d+)$", text, re.M)
    if found is None:
        sys.exit("The dry run printed no number of jobs.")
    return int(found.group(1)) - 1
