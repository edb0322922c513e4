"""Print one table of ratios, all measured here and now: `make bench`."""

import os
import platform
import sys

# one thread everywhere; before torch is imported
os.environ.setdefault("OMP_NUM_THREADS", "1")

import aggregation
import craft_importances
import craft_whole
import explainers
import explaining
import image_metrics
import planning
import pruning
import road
import sample_pruning
import sample_solvers
import scoring
import sidebyside
import startup
import torch
import training

PARTS = {
    "training": training,
    "startup": startup,
    "planning": planning,
    "pruning": pruning,
    "explaining": explaining,
    "aggregation": aggregation,
    "scoring": scoring,
    "road": road,
    "explainers": explainers,
    "image_metrics": image_metrics,
    "craft_importances": craft_importances,
    "craft_whole": craft_whole,
    "sample_solvers": sample_solvers,
    "sample_pruning": sample_pruning,
}


def main(names: list[str]) -> None:
    """Run the named parts, or all."""
    unknown = set(names) - set(PARTS)
    if unknown:
        sys.exit(
            f"There is no benchmark {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}."
        )
    print(f"{platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}, one thread\n")
    rows = [row for name in names or PARTS for row in PARTS[name].rows()]
    print(sidebyside.table(rows))


if __name__ == "__main__":
    main(sys.argv[1:])
