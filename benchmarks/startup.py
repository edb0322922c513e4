"""How long a job takes before it starts to work, beside importing torch alone."""

import subprocess
import sys

from sidebyside import Row, compare

COMMON = ("sparsight.io.job", "sparsight.models.thesis_cnn")
#: job to the modules that its script imports
JOBS = {
    "train and prune jobs": ("sparsight.pruning.rounds", "sparsight.pruning.criteria"),
    "score jobs (default metrics)": (
        "sparsight.metrics.run",
        "sparsight.metrics.localisation",
        "sparsight.metrics.complexity",
    ),
    "explain jobs, cam": ("sparsight.explain.run", "sparsight.explain.cam"),
    "explain jobs, gradient (captum)": (
        "sparsight.explain.run",
        "sparsight.explain.gradient",
        "captum.attr",
    ),
}


def _run(code: str) -> None:
    subprocess.run([sys.executable, "-c", code], check=True)


def rows() -> list[Row]:
    """Each kind of job beside `import torch`."""
    return [
        compare(
            f"start {name}",
            lambda modules=modules: _run(f"import {', '.join((*COMMON, *modules))}"),
            lambda: _run("import torch"),
            "import torch",
            "ours at most 1 s more" if "captum" not in name else "reported",
        )
        for name, modules in JOBS.items()
    ]
