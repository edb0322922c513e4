"""A copy of the project that a test runs Snakemake in."""

import csv
import functools
import io
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from workflow.warm.run import start, warmed

BIN = Path(sys.executable).parent
RECIPE = {
    "epochs": 6,
    "batch_size": 16,
    "optimiser": {"name": "sgd", "learning_rate": 0.02, "momentum": 0.9},
    "noise": True,
}
#: what the tiny study claims
CLAIMS = [
    {
        "name": "same_course",
        "claim": "Accuracy and IoU run the same course.",
        "test": "correlation",
        "pruner": "tiny",
        "explainer": "grad_cam_pp_conv2",
        "metric": "soft_iou",
        "smallest": 0.3,
        "because": "Below it accuracy tells less than a tenth of the course.",
    },
    {
        "name": "no_accuracy_loss",
        "claim": "No accuracy is lost down to a quarter of the weights.",
        "test": "no_loss",
        "of": "accuracy",
        "density": 0.25,
        "smallest": 0.01,
        "because": "Two trainings of a network differ by as much.",
        "pruner": "tiny",
    },
]
#: one seed, three levels and one retraining, one family and the controls, one metric of each kind
TINY: dict[str, Any] = {
    "study": "tiny",
    "datasets": ["digits"],
    "models": ["tiny"],
    "pruners": ["tiny", "retrain"],
    "seeds": [1],
    "explainers": ["grad_cam_pp_conv2", "control_edges"],
    "metrics": ["soft_iou"],
    "agreement": ["ssim"],
    "claims": CLAIMS,
    "explaining": {"conditions": ["noisy"], "images": 40},
    "statistics": {"replicates": 100},
    "figures": {"sheet_levels": 3, "sheet_images": 2},
    "catalogue": {
        "models": {
            "tiny": {"architecture": "thesis_cnn", "training": RECIPE, "retraining": RECIPE}
        },
        "pruners": {"tiny": {"criterion": "magnitude", "rate": 0.5, "levels": 2}},
    },
}

#: tables in which every number is computed, none measured
TABLES = (
    "evaluations.parquet",
    "scores.parquet",
    "contrasts.csv",
    "correctness.csv",
    "strata.csv",
    "correlations.csv",
    "control_gaps.csv",
    "agreement.csv",
    "exemplars.parquet",
    "class_harm.csv",
    "claims.csv",
)


@functools.cache
def warm_python() -> str:
    """The Python that starts scripts in forks of one process, for all tests."""
    return start()


class Project:
    """A copy of the project with the tiny study in `tiny.yaml`.

    Its jobs start warm, in forks of a process that has imported torch, or cold, as a user's do.
    """

    def __init__(self, folder: Path, warm: bool = True) -> None:
        self.folder = folder
        self.environment = {
            **os.environ,
            "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
            # The copy's own library comes before the installed one.
            "PYTHONPATH": str(folder / "src"),
            "OMP_NUM_THREADS": "1",
        }
        if warm:
            self.environment = warmed(self.environment, warm_python())

    def configure(self, **changes: Any) -> None:
        """Write `tiny.yaml`: the tiny study with some top-level keys changed."""
        text = yaml.safe_dump({**TINY, **changes})
        (self.folder / "tiny.yaml").write_text(text, encoding="utf-8")

    def command(self, *arguments: str) -> list[str]:
        """The Snakemake command line for the tiny study; a dry run lists all its jobs (-p)."""
        listing = ["--printshellcmds"] if "--dry-run" in arguments else []
        return [str(BIN / "snakemake"), "--configfile", "tiny.yaml", *listing, *arguments]

    def call(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run Snakemake and give back whatever it did."""
        return subprocess.run(
            self.command(*arguments),
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )

    def run(self, *arguments: str) -> str:
        """Run Snakemake, which must succeed; what it printed."""
        done = self.call(*arguments)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-6000:]
        return done.stdout + done.stderr

    def planned(self, *arguments: str) -> dict[str, int]:
        """Rule to the number of jobs that would run, without `all`."""
        text = self.run("--dry-run", *arguments)
        table = re.search(r"^job +count\n-+ +-+\n(.*?)\n\n", text, re.DOTALL | re.MULTILINE)
        if table is None:
            assert "Nothing to be done" in text, text
            return {}
        rows = (line.split() for line in table.group(1).splitlines())
        return {rule: int(count) for rule, count in rows if rule not in ("all", "total")}

    def planned_outputs(self, *arguments: str) -> list[str]:
        """Files that would be made."""
        text = self.run("--dry-run", *arguments)
        return [
            path
            for line in re.findall(r"^    output: (.*)$", text, re.M)
            for path in line.split(", ")
        ]

    def write(self, path: str, text: str) -> None:
        """Write a file of the project, in a folder that is made where it is not there."""
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")

    def edit(self, path: str, old: str, new: str) -> None:
        """Replace the first `old` in a file of the project; it must be there."""
        file = self.folder / path
        text = file.read_text(encoding="utf-8")
        assert old in text, f"{path} no longer holds {old!r}"
        file.write_text(text.replace(old, new, 1), encoding="utf-8")

    def raise_version(self, path: str, name: str = "VERSION") -> None:
        """Raise the version of a stage, stated under this name, or that of a class."""
        file = self.folder / "src" / "sparsight" / path
        text = file.read_text(encoding="utf-8")
        if name.isupper():
            stated = re.compile(rf"^{name} = (\d+)$", re.M)
            text, count = stated.subn(lambda old: f"{name} = {int(old[1]) + 1}", text, count=1)
        else:
            old, new = rf"(class {name}\(\w+\):\n)", r"\1    version: ClassVar[int] = 2\n"
            text, count = re.subn(old, new, text, count=1)
        assert count, f"{path} has no {name}"
        file.write_text(text, encoding="utf-8")

    def tables(self) -> dict[str, bytes]:
        """The study's tables that must not depend on how it was run."""
        folder = self.folder / "results" / "tiny" / "summary"
        found = {name: (folder / name).read_bytes() for name in TABLES}
        found["levels.csv"] = without_times((folder / "levels.csv").read_text(encoding="utf-8"))
        return found


def without_times(text: str) -> bytes:
    """A table without the columns that were measured with a clock."""
    header, *rows = csv.reader(io.StringIO(text))
    kept = [i for i, name in enumerate(header) if not name.startswith("milliseconds")]
    assert len(kept) == len(header) - 2, "two columns are measured"
    return "\n".join(",".join(row[i] for i in kept) for row in (header, *rows)).encode()
