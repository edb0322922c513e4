"""docs/my_network.md, followed to the letter with a folder of pictures and a file of weights."""

import csv
import json
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from torch.nn.utils import prune

from tests.workflow.project import BIN, Project

PAGE = (Path(__file__).parents[2] / "docs" / "my_network.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"```bash\n(.*?)\n```", PAGE, re.DOTALL)
STUDIES = re.findall(r"```yaml\n# (studies/\S+)\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture
def beginner(fresh: Project) -> Project:
    """A project next to which lie 3 classes of 15 pictures, and a network's file at three sizes."""
    draw = np.random.default_rng(0)
    for place, name in enumerate(("crow", "owl", "wren")):
        folder = fresh.folder / "pictures" / name
        folder.mkdir(parents=True)
        for number in range(15):
            pixels = draw.integers(0, 120, (72, 80, 3), dtype=np.uint8)
            pixels[20:50, 20:60, place] = 255
            Image.fromarray(pixels).save(folder / f"{number}.jpg")
    torch.manual_seed(0)
    network = timm.create_model("resnet10t", num_classes=3)
    torch.save(network.state_dict(), fresh.folder / "network.pth")
    where = [(m, "weight") for m in network.modules() if isinstance(m, torch.nn.Conv2d)]
    for name, share in (("half", 0.5), ("fifth", 0.6)):
        prune.global_unstructured(where, prune.L1Unstructured, amount=share)
        torch.save(network.state_dict(), fresh.folder / f"{name}.pth")
    return fresh


def follow(project: Project, command: str) -> str:
    """Run a command of the page."""
    done = subprocess.run(
        ["bash", "-ec", command],
        cwd=project.folder,
        env={**project.environment, "PATH": f"{BIN}:{project.environment['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-6000:]
    return done.stdout + done.stderr


def densities(project: Project, study: str) -> dict[tuple[str, str], float]:
    """Pruner and level to the measured density."""
    found = {}
    folder = project.folder / "results" / study
    for path in folder.glob("*/*/seed0/*/level*/evaluation.json"):
        level = path.parent
        density = json.loads(path.read_text())["density"]["prunable"]
        found[level.parent.name, level.name] = density
    return found


def test_the_page_is_followed_to_the_letter(beginner: Project) -> None:
    quick, report, own = COMMANDS
    text = follow(beginner, quick)
    assert "64 pixels" in text
    assert "0.5, 0.2, 0.1" in text
    levels = [1.0, 0.5, 0.2, 0.1]
    assert sorted(densities(beginner, "quick").values(), reverse=True) == pytest.approx(
        levels, abs=1e-4
    )
    summary = beginner.folder / "results/quick/summary"
    with open(summary / "levels.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert {row["metric"] for row in rows} >= {"insertion", "gini_sparseness"}
    assert "resnet10t" in (summary / "methods.md").read_text(encoding="utf-8")
    follow(beginner, report)
    assert (beginner.folder / "results/quick/report.html").stat().st_size > 100_000

    ((path, study),) = STUDIES
    assert len(study.splitlines()) <= 25
    beginner.write(path, study)
    follow(beginner, own)
    found = densities(beginner, "mine")
    assert found["one_shot", "level01"] == pytest.approx(0.5, abs=1e-4)
    assert 0.5 < found["theirs", "level01"] < 0.51, "the classifier is not pruned there"
    assert found["theirs", "level02"] < found["theirs", "level01"]


@pytest.mark.parametrize("left_out", ["images", "weights", "architecture"])
def test_one_of_the_three_that_is_missing_is_named(beginner: Project, left_out: str) -> None:
    command = re.sub(rf"{left_out}=\S+", "", COMMANDS[0])
    done = subprocess.run(
        ["bash", "-ec", f"{command} --dry-run"],
        cwd=beginner.folder,
        env=beginner.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert f"{left_out} is missing" in done.stdout + done.stderr
    assert not (beginner.folder / "results").exists()
