"""Summarising generated scores, 100 million rows by default: peak memory and time, beside pandas.

`AGGREGATION_FILES=5 make bench ARGS=aggregation` takes 5 files of a million rows instead of 100.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from sidebyside import Row

FILES = 100
IMAGES = 10_000
EXPLAINERS = [f"explainer{index:02d}" for index in range(25)]
METRICS = [f"metric{index}" for index in range(4)]
LEVELS = 25  # of a chain, the dense level included
BATCH = 250
GOAL_GB = 2.0
# input, output and what DuckDB puts aside
BYTES_PER_ROW = 40

# Seconds are CPU seconds, its own start included, so that what else runs on the machine does not
# count. The peak is that of the process since it was started: ru_maxrss would also count the parent
# from which it was forked, and RUSAGE_CHILDREN the largest of all children.
CHILD = """
import json, resource, sys, time
from pathlib import Path
from sparsight.analysis.summarise import summarise

folder = Path(sys.argv[1])
summarise(
    folder.glob("*.json"),
    folder.glob("*.parquet"),
    evaluations_table=folder / "summary" / "evaluations.parquet",
    scores_table=folder / "summary" / "scores.parquet",
    levels_table=folder / "summary" / "levels.csv",
    settings={},
)
seconds = time.process_time()
peak = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
status = Path("/proc/self/status")
if status.exists():
    lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
    peak = 1024 * int(lines["VmHWM"].split()[0])
(folder / "summary" / "measured").write_text(json.dumps({"seconds": seconds, "peak": peak}))
"""


def rows(files: int | None = None, images: int = IMAGES) -> list[Row]:
    """Peak memory beside the goal and beside pandas, and CPU seconds.

    What pandas would take is computed from reading one file into a frame, in the types that it is
    stored in: the frame's size and the CPU seconds, times the number of files.

    Parameters
    ----------
    files : how many checkpoints; by default `AGGREGATION_FILES`, or 100.
    images : per checkpoint, each with 25 explainers and 4 metrics.
    """
    import pandas as pd
    import pyarrow.parquet as pq

    files = int(os.environ.get("AGGREGATION_FILES", FILES)) if files is None else files
    per_file = images * len(EXPLAINERS) * len(METRICS)
    count = files * per_file
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        free = shutil.disk_usage(folder).free
        if free < BYTES_PER_ROW * count:
            sys.exit(
                f"{folder} has {free / 1e9:.1f} GB free, {BYTES_PER_ROW * count / 1e9:.1f} GB are "
                "needed; set AGGREGATION_FILES to fewer than 100, or TMPDIR to another disk."
            )
        for index in range(files):
            generate(folder, index, images)
        # A file, as jobs are: under `python -c` DuckDB takes itself for interactive and draws bars.
        child = folder / "child.py"
        child.write_text(CHILD)
        subprocess.run([sys.executable, str(child), str(folder)], check=True)
        found = json.loads((folder / "summary" / "measured").read_text())
        written = pq.ParquetFile(folder / "summary" / "scores.parquet").metadata.num_rows
        assert written == count, f"{written} of {count} rows were written"
        started = time.process_time()
        frame = pd.read_parquet(folder / "scores0000.parquet")
        pandas_seconds = files * (time.process_time() - started)
        pandas_gb = files * int(frame.memory_usage(deep=True).sum()) / 1e9
    what = f"summarise {count / 1e6:g} million score rows"
    peak, seconds = found["peak"] / 1e9, found["seconds"]
    speed = f"{count / seconds / 1e6:.2f} million rows a second"
    return [
        _row(f"{what}, peak memory", peak, GOAL_GB, "the goal", "≥ 1", "GB"),
        _row(f"{what}, peak memory", peak, pandas_gb, f"pandas ({COMPUTED})", "reported", "GB"),
        _row(f"{what}, {speed}", seconds, pandas_seconds, f"pandas reads ({COMPUTED})", "reported"),
    ]


COMPUTED = "all rows, computed from one file"


def _row(name: str, ours: float, other: float, other_name: str, goal: str, unit: str = "s") -> Row:
    ratio = other / ours
    return Row(name, ours, other, other_name, ratio, ratio, ratio, goal, unit)


def generate(folder: Path, index: int, images: int) -> None:
    """Write the scores of one checkpoint as the score job does, and its evaluation."""
    import numpy as np
    import torch

    from sparsight.io.tables import TableWriter
    from sparsight.metrics.run import SCHEMA, ScoreRows

    draw = np.random.default_rng(index)
    seed, level = divmod(index, LEVELS)
    identity = {
        "study": "bench",
        "dataset": "synthetic",
        "model": "network",
        "pruner": "pruner" if level else "dense",
        "seed": seed,
        "level": level,
    }
    density = 0.8**level
    names = {"explainer": EXPLAINERS, "condition": ["noisy"], "metric": METRICS}
    with TableWriter(folder / f"scores{index:04d}.parquet", SCHEMA) as table:
        rows = ScoreRows(table, {**identity, "density": density}, names)
        for start in range(0, images, BATCH):
            ids = np.arange(start, min(start + BATCH, images))
            predicted = np.where(draw.random(len(ids)) < 0.9, ids % 10, 0)
            facts = {"target": predicted, "image_id": ids, "label": ids % 10}
            facts |= {"predicted": predicted, "correct": predicted == ids % 10}
            facts["empty"] = np.zeros(len(ids), np.bool_)
            for explainer in EXPLAINERS:
                for metric in METRICS:
                    values = torch.from_numpy(draw.random(len(ids), dtype=np.float32))
                    rows.add((explainer, "noisy", metric), facts, values)
        rows.flush()
    evaluation = {
        **identity,
        "splits": {"test": {"noisy": {"accuracy": 0.9}}},
        "density": {"prunable": density, "all_parameters": density, "layers": {}},
        "surviving": round(1000 * density),
        "prunable": 1000,
    }
    (folder / f"evaluation{index:04d}.json").write_text(json.dumps(evaluation))
