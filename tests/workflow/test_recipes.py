"""The recipes of CONTRIBUTING.md, followed to the letter in a copy of the project."""

import csv
import json
import math
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from tests.workflow.project import BIN, Project

ROOT = Path(__file__).parents[2]
GUIDE = ROOT / "CONTRIBUTING.md"
PARTS = (
    "Snakefile",
    "config.yaml",
    "catalogue",
    "pyproject.toml",
    "workflow",
    "profiles",
    "envs",
    "src",
)
RECIPES = {
    "A data set": ["data/sources/example_shapes.py", "data/registry.py", "example_shapes.yaml"],
    "A model": ["models/example_strided.py", "models/registry.py", "example_strided.yaml"],
    "A pruner": ["pruning/example_lamp.py", "pruning/registry.py", "example_lamp.yaml"],
    "An explainer": [
        "explain/example_input_gradient.py",
        "explain/registry.py",
        "example_input_gradient.yaml",
    ],
    "An explainer of captum or pytorch-grad-cam": ["example_libraries.yaml"],
    "A metric": ["metrics/example_mass.py", "metrics/registry.py", "example_mass.yaml"],
    "A metric of quantus": ["example_quantus.yaml"],
    "An agreement metric": [
        "metrics/example_signs.py",
        "metrics/registry.py",
        "example_signs.yaml",
    ],
    "A concept method": [
        "concepts/example_channels.py",
        "concepts/registry.py",
        "example_channels.yaml",
    ],
    "A solver of sample-targeted pruning": [
        "spade/example_wanda.py",
        "spade/registry.py",
        "example_wanda.yaml",
    ],
    "A table with its figure": [
        "analysis/tables.py",
        "analysis/example_spread.py",
        "plots/example_spread.py",
        "workflow/rules/example_spread.smk",
        "workflow/Snakefile",
    ],
    "A claim test": [
        "analysis/claims/example_change.py",
        "analysis/claims/registry.py",
        "example_change.yaml",
    ],
}


def blocks_of(text):
    """(recipe, path, content) of every code block that begins with the path of a file."""
    for part in re.split(r"^### ", text, flags=re.MULTILINE)[1:]:
        recipe = part.partition("\n")[0]
        for block in re.findall(r"^```(?:python|yaml)\n(.*?)^```$", part, re.DOTALL | re.MULTILINE):
            first, _, rest = block.partition("\n")
            yield recipe, first.removeprefix("# "), rest


BLOCKS = list(blocks_of(GUIDE.read_text(encoding="utf-8")))


#: where the lines of a recipe go in a file that is there: before this text
PLACES = {"src/sparsight/analysis/tables.py": '"""\n_LINE', "workflow/Snakefile": "\nreport:"}


def follow(folder, path, content):
    """Write a file; a line for a registry goes to the top of its table."""
    file = folder / path
    if path in PLACES:
        before, place, after = file.read_text(encoding="utf-8").partition(PLACES[path])
        assert place
        file.write_text(f"{before}{content}{place}{after}", encoding="utf-8")
        return
    if file.name != "registry.py":
        assert not file.exists(), f"{path} is there already; rename the example"
        file.parent.mkdir(exist_ok=True)
        file.write_text(content, encoding="utf-8")
        return
    # Of a file with several tables the line goes to the one that a comment before it names.
    table = re.match(r"# (\w+)\n", content)
    content = content.removeprefix(table[0]) if table else content
    text = file.read_text(encoding="utf-8")
    name = table[1] if table else r"[A-Z]+"
    start = (
        text.index("{", re.search(rf"^{name} = (Registry|Architectures)\(", text, re.M).end()) + 1
    )
    file.write_text(f"{text[:start]}\n{content.rstrip()}\n{text[start:]}", encoding="utf-8")


def all_choices(folder):
    """One overlay that chooses all that the recipes' overlays choose."""
    whole = {"study": "recipes", "catalogue": {}}
    for path in sorted(folder.glob("studies/example_*.yaml")):
        overlay = yaml.safe_load(path.read_text(encoding="utf-8"))
        for group, entries in overlay.pop("catalogue", {}).items():
            whole["catalogue"].setdefault(group, {}).update(entries)
        for group in ("families", "sample_pruning"):
            whole.setdefault(group, {}).update(overlay.pop(group, {}))
        del overlay["study"]
        for group in ("datasets", "models"):
            overlay[group] = [name for name in overlay[group] if name.startswith("example_")]
        for group, names in overlay.items():
            known = whole.setdefault(group, [])
            known.extend(name for name in names if name not in known)
    return whole


@pytest.fixture(scope="module")
def followed(tmp_path_factory):
    """A copy of the project after all recipes."""
    folder = tmp_path_factory.mktemp("recipes") / "project"
    folder.mkdir()
    ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for part in PARTS:
        if (ROOT / part).is_dir():
            shutil.copytree(ROOT / part, folder / part, ignore=ignored)
        else:
            shutil.copy2(ROOT / part, folder / part)
    for _, path, content in BLOCKS:
        follow(folder, path, content)
    return Project(folder)


@pytest.fixture(scope="module")
def results(followed):
    """What the added things do, see `recipe_results.py`."""
    environment = {k: v for k, v in followed.environment.items() if k != "SPARSIGHT_DATA"}
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("recipe_results.py"))],
        cwd=followed.folder,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout[done.stdout.index("{") :])
    assert Path(found["library"]).is_relative_to(followed.folder), "the copy's library is used"
    return found


def test_there_is_a_recipe_for_everything():
    found = {}
    for recipe, path, _ in BLOCKS:
        found.setdefault(recipe, []).append(re.sub(r"^(src/sparsight|studies)/", "", path))
    assert found == RECIPES


def test_recipes_write_what_the_house_accepts(followed):
    new = [path for _, path, _ in BLOCKS if "example_" in path and path.endswith(".py")]
    for command in (["format", "--check"], ["check"]):
        done = subprocess.run(
            [str(BIN / "ruff"), *command, "--no-cache", *new],
            cwd=followed.folder,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_configurations_of_recipes_are_sound(results):
    names = [Path(path).stem for _, path, _ in BLOCKS if path.endswith(".yaml")]
    assert results["problems"] == {name: [] for name in sorted(names)}


def test_workflow_plans_everything_new(followed):
    overlay = all_choices(followed.folder)
    new = ("example_", "random", "retrain")
    chosen = {**overlay, "sample_pruners": overlay["sample_pruning"]["pruners"]}
    assert all(any(n.startswith("example_") for n in chosen[g]) for g in overlay["catalogue"])
    assert [n for n in overlay["pruners"] if not n.startswith(new)] == []
    (followed.folder / "tiny.yaml").write_text(yaml.safe_dump(overlay), encoding="utf-8")
    planned = followed.planned()
    # three seeds; dense and five levels of each of two pruners; families cam, cam_library, gradient
    # and the controls at all of them; three metrics, two of agreement; one claim
    assert planned["train_dense"] == 3
    assert planned["prune_level"] == 3 * 2 * 5
    assert planned["explain_images"] == 3 * (11 + 11 + 11)
    assert planned["make_controls"] == 1
    # saliency on the copies of two sample pruners, of the dense networks
    assert planned["explain_pruned_samples"] == 3 * 2
    assert planned["score_explanations"] == 3 * (11 + 11 + 11 + 11 + 2)
    assert planned["summarise_sample_pruning"] == planned["draw_sample_pruning"] == 1
    assert planned["draw_metric"] == 3
    assert planned["compare_explanations"] == 3 * (11 + 11 + 11)
    assert planned["draw_agreement"] == 2
    assert planned["resample_images"] == 3 * 2
    assert planned["check_claims"] == 1
    assert planned["example_spread"] == 1
    assert planned["draw_example_spread"] == 3
    # every network, and the dense ones of three seeds with each other
    assert planned["extract_features"] == planned["find_concepts"] == 3 * 11
    assert planned["compare_concepts"] == 3 * 11
    assert planned["summarise_concepts"] == planned["draw_concepts"] == 1
    assert planned["write_concept_tables"] == 1


def test_every_recipe_runs(followed):
    """One small study of all that the recipes add runs from the original file to the last page."""
    overlay = all_choices(followed.folder)
    recipe = {
        "epochs": 2,
        "batch_size": 16,
        "optimiser": {"name": "sgd", "learning_rate": 0.05, "momentum": 0.9},
        "noise": True,
    }
    catalogue = overlay["catalogue"]
    catalogue["models"]["example_strided"].update(training=recipe, retraining=recipe)
    catalogue["pruners"]["example_lamp"]["densities"] = [0.4]
    # One job for all of them.
    for name in ("grad_cam_pp_conv2", "example_xgrad_cam"):
        catalogue["explainers"].setdefault(name, {})["family"] = "gradient"
    overlay["claims"][0].update(end=1, pruner="example_lamp")
    overlay["sample_pruning"]["images"] = 4
    overlay.update(
        study="run",
        data_folder="run_data",
        seeds=[1],
        pruners=["example_lamp"],
        explaining={"images": 10},
        families={"gradient": {"images": 10, "levels": "all"}},
        statistics={"replicates": 100},
        figures={"sheet_levels": 2, "sheet_images": 2},
    )
    (followed.folder / "tiny.yaml").write_text(yaml.safe_dump(overlay), encoding="utf-8")
    labels = np.arange(60) % 2
    masks = np.zeros((60, 28, 28), dtype=np.uint8)
    masks[:, 8:16, 8:20] = 255
    images = masks // (3 - labels[:, None, None]).astype(np.uint8)
    (followed.folder / "run_data" / "shapes").mkdir(parents=True)
    np.savez(
        followed.folder / "run_data" / "shapes" / "shapes.npz",
        images=images,
        labels=labels,
        masks=masks,
    )
    followed.run("--cores", "2")

    def column(table, name):
        with open(followed.folder / "results" / "run" / "summary" / table, newline="") as file:
            return {row[name] for row in csv.DictReader(file)}

    assert column("levels.csv", "dataset") == {"example_shapes"}
    assert column("levels.csv", "model") == {"example_strided"}
    assert column("levels.csv", "pruner") == {"example_lamp"}
    own = {name for name in overlay["explainers"] if name.startswith("example_")}
    assert own <= column("contrasts.csv", "explainer")
    assert {"example_mass", "example_complexity"} <= column("contrasts.csv", "metric")
    assert "example_signs" in column("agreement.csv", "metric")
    assert column("concepts.csv", "method") == {"example_channels"}
    assert column("sample_pruning.csv", "sample_pruner") == {"example_wanda", "example_smallest"}
    assert column("claims.csv", "test") == {"example_change"}
    assert column("example_spread.csv", "n_seeds") == {"1"}
    figures = followed.folder / "results" / "run" / "figures"
    spread = figures / "example_spread" / "example_shapes__example_strided__example_mass"
    assert all(spread.with_suffix(suffix).is_file() for suffix in (".svg", ".png"))
    assert (figures / "metrics" / "example_shapes__example_strided__example_mass.svg").is_file()
    # What Snakemake does not notice is said.
    os.utime(followed.folder / "run_data" / "shapes" / "shapes.npz")
    said = followed.run("--dry-run")
    assert "Nothing to be done" in said
    assert "--forcerun run_data/fetched/example_shapes.json" in said


def test_data_set(results):
    found = results["data_set"]
    assert found["missing"].endswith("shapes.npz does not exist; put the file there")
    assert found["corrupt"].endswith("shapes.npz is corrupt; put it there again")
    assert found["train"] == [30, [1, 28, 28], 0]
    assert found["test"] == [20, [1, 28, 28], 30]
    # 8 x 12 of 28 x 28 pixels at 127 of 255
    assert found["mean"] == pytest.approx(96 / 784 * 127 / 255, rel=1e-5)


def test_model(results):
    found = results["model"]
    assert found["logits"] == [2, 3]
    assert found["sizes"] == found["facts"]


def test_pruner(results):
    found = results["pruner"]
    total = 2324
    assert found["counts"] == [math.ceil(round(d * total, 6)) for d in (0.8, 0.4, 0.2, 0.1, 0.05)]
    assert found["nested"]
    # squares 9, 1, 4, 0: divided by 9, 9+4+1, 9+4 and all
    expected = [[1, 1 / 14], [4 / 13, 0]]
    assert found["by_hand"] == [pytest.approx(row, rel=1e-6) for row in expected]


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("example_input_gradient", 28),
        ("example_deconvolution", 28),
        ("example_layer_grad_cam", 11),
        ("example_xgrad_cam", 11),
    ],
)
def test_explainer(results, name, size):
    shape, lowest, highest = results["explainers"]["maps"][name]
    assert shape == [2, size, size]
    assert math.isfinite(lowest)
    assert lowest < highest < math.inf


def test_own_explainer_is_captums(results):
    assert results["explainers"]["difference"] < 1e-6


def test_metric(results):
    assert results["metrics"]["example_mass"] == [0.75, 0, 0.5, None]


def test_metric_of_quantus(results):
    # entropy of the shares 3, 1 and 5 of 9; one pixel has none; a map of nothing is refused
    entropy = -sum(share * math.log(share) for share in (3 / 9, 1 / 9, 5 / 9))
    found = results["metrics"]["example_complexity"]
    assert found[0] == pytest.approx(entropy, abs=1e-3)
    assert found[1] == pytest.approx(0, abs=1e-3)
    assert found[2] is None


def test_agreement_metric(results):
    # of 4 places: all alike; 2 with the same sign and 1 where both are 0; one map says nothing
    assert results["agreement"]["one_way"] == [1, 0.75, None]
    assert results["agreement"]["other_way"] == results["agreement"]["one_way"]


def test_concept_method(results):
    found = results["concepts"]
    # class means (2, 1) and (0, 3)
    assert found["ranked"] == [
        ["0", "channel 0", 1, 2],
        ["0", "channel 1", 2, 1],
        ["1", "channel 1", 1, 3],
        ["1", "channel 0", 2, 0],
    ]
    # (2 - 0) / (2 + 0), (3 - 1) / (3 + 1)
    assert found["selectivity"] == [1, 0.5]
    # another network's second class begins with channel 0
    assert found["same_first"] == {"self": [1, 1], "other": [1, 0]}


def test_solver(results):
    # sizes of the inputs 1, 4 and 2: products 3, 4 and 0, then 1, 8 and 10; the 0 is one of three
    assert results["solver"] == [[[0, 1, 0], [0, 2, 5]]]


def test_claim_test(results):
    found = results["claim"]
    assert found["statistic"] == "change of soft_iou from level 0 to level 5"
    # networks at -0.1, -0.2 and -0.3; images at -0.1, 0 and 0.1 from them
    wanted = [[-0.2, -0.1, 0.0], [-0.3, -0.2, -0.1], [-0.4, -0.3, -0.2]]
    assert [pytest.approx(row) for row in wanted] == found["matrix"]
    # both have the standard deviation 0.1, of three each, and nothing is left
    assert found["errors"] == pytest.approx([0.1 / math.sqrt(3)] * 2 + [0.0], abs=1e-7)
    # mean -0.2 in errors of 0.1 root(2/3): t is root 6, with four degrees of freedom
    share = 6 / (6 + 4)
    assert found["p"] == pytest.approx(1 - math.sqrt(share) * (1.5 - share / 2))
    assert found["holds"] == [None, 0]
    assert found["wrong"] == {
        "end": ["claims[0].end is 6, but random has the levels 0 to 5."],
        "expected": ["claims[0].expected is 'falling', but must be one of positive, negative."],
    }
