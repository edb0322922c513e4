"""A configuration is sound, or every fault of it is one sentence that says what to change."""

import itertools
import json
import random
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from sparsight.io.errors import InputError
from sparsight.study.configuration import (
    catalogue_and_study,
    normalise,
    resolve,
    with_bases,
)
from sparsight.study.configuration import overlaid as overlaid_by
from sparsight.study.models import editor_schemas, validated
from sparsight.study.plan import RESERVED
from sparsight.study.yaml_files import load_yaml

ROOT = Path(__file__).parents[3]
STUDIES = sorted((ROOT / "studies").glob("*.yaml"))


# --- the project's own files


def test_the_default_is_sound(problems_of):
    assert problems_of() == []


def test_every_study_is_sound():
    below = catalogue_and_study(ROOT, own=True)
    found = [
        f"studies/{path.name}: {problem}"
        for path in STUDIES
        for problem in resolve(normalise(overlaid_by(below, load_yaml(path))))[1]
    ]
    assert found == []


def test_results_and_studies_use_one_name():
    assert [path.name for path in STUDIES if load_yaml(path)["study"] != path.stem] == []


def test_studies_are_found():
    assert STUDIES


def parts(schema, place="$"):
    """(place, schema) of every key that the schema speaks of, at any depth."""
    for key, part in schema.get("properties", {}).items():
        yield f"{place}.{key}", part
    for name, part in schema.get("$defs", {}).items():
        yield f"{place}.{name}", part
        yield from parts(part, f"{place}.{name}")


@pytest.mark.parametrize("name", ["study.schema.json", "catalogue.schema.json"])
def test_schemas_for_editors_are_whole(name):
    schema = editor_schemas()[name]
    Draft202012Validator.check_schema(schema)
    silent = [place for place, part in parts(schema) if not {"description", "$ref"} & part.keys()]
    assert silent == []
    for place, part in parts(schema):
        if "default" in part:
            whole = {**part, "$defs": schema["$defs"]}
            assert [*Draft202012Validator(whole).iter_errors(part["default"])] == [], place


def test_every_file_names_a_schema_that_it_fits():
    schemas = editor_schemas()
    files = [ROOT / "config.yaml", *ROOT.glob("studies/*.yaml"), *ROOT.glob("catalogue/*.yaml")]
    for path in files:
        first = path.read_text(encoding="utf-8").partition("\n")[0]
        stated = re.fullmatch(r"# yaml-language-server: \$schema=(.+)", first)
        assert stated, path
        schema = (path.parent / stated[1]).resolve()
        assert schema.parent == ROOT / "workflow" / "schemas"
        assert json.loads(schema.read_text(encoding="utf-8")) == schemas[schema.name]
        errors = Draft202012Validator(schemas[schema.name]).iter_errors(load_yaml(path))
        assert [error.message for error in errors] == [], path


def test_entries_of_the_catalogue_are_documented():
    undocumented = []
    for kind in ("datasets", "models", "pruners"):
        lines = (ROOT / "catalogue" / f"{kind}.yaml").read_text(encoding="utf-8").splitlines()
        undocumented += [
            line.strip()
            for above, line in itertools.pairwise(lines)
            if re.match(r" {2}\w", line) and not above.strip().startswith("#")
        ]
    assert undocumented == [], "a comment above every entry says what it is"


def test_two_files_of_the_catalogue_have_no_part_in_common(tmp_path):
    for name in ("a", "b"):
        (tmp_path / "catalogue").mkdir(exist_ok=True)
        (tmp_path / "catalogue" / f"{name}.yaml").write_text("metrics: {}\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"b\.yaml has metrics"):
        catalogue_and_study(tmp_path, own=True)


def test_the_study_that_runs_by_itself_is_short():
    assert len((ROOT / "config.yaml").read_text(encoding="utf-8").splitlines()) <= 60


def test_planning_imports_nothing_heavy():
    heavy = ("torch", "captum", "quantus", "pytorch_grad_cam", "numpy", "pandas", "snakemake")
    code = f"""
import sys
import sparsight.study.configuration, sparsight.study.settings
import sparsight.study.settings, sparsight.study.settings
print([name for name in {heavy} if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# --- normalised, and defaults


def test_normalise_by_example():
    given_ = {
        "seeds": ["333", 334.0, "x"],
        "b": {"target": True, "levels": [0.0, 12, -1], "rate": 0.5},
        "a": ({"z": 1.0, "y": -2.0}, True, None),
        "target": False,
        "levels": "7",
    }
    found = normalise(given_)
    assert json.dumps(found) == json.dumps(
        {
            "a": [{"y": -2, "z": 1}, True, None],
            "b": {"levels": [0, 12, -1], "rate": 0.5, "target": "true"},
            "levels": "7",
            "seeds": ["333", 334, "x"],
            "target": False,
        }
    )


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner),
    max_leaves=12,
)


def shuffled(value, order):
    if isinstance(value, dict):
        items = [(key, shuffled(inner, order)) for key, inner in value.items()]
        order.shuffle(items)
        return dict(items)
    return [shuffled(inner, order) for inner in value] if isinstance(value, list) else value


@settings(deadline=None)
@given(VALUES, st.randoms(use_true_random=False))
def test_normalise_does_not_know_the_order_of_keys(value, order):
    text = json.dumps(normalise(value))
    assert json.dumps(normalise(shuffled(value, order))) == text
    assert json.dumps(normalise(normalise(value))) == text


def test_normalise_leaves_its_argument_alone():
    config = {"seeds": ["1"], "x": {"b": 1.0, "a": 2}}
    normalise(config)
    assert repr(config) == "{'seeds': ['1'], 'x': {'b': 1.0, 'a': 2}}"


@pytest.mark.parametrize(
    ("overlay", "key", "value"),
    [
        ({"seeds": [1.0, 2]}, ("seeds",), [1, 2]),
        ({"explaining": {"target": True}}, ("explaining", "target"), "true"),
        ({"disk_budget_gb": 3.0}, ("disk_budget_gb",), 3),
    ],
)
def test_what_the_command_line_gives_is_understood(problems_of, overlaid, overlay, key, value):
    assert problems_of(overlay) == []
    found = overlaid(overlay)
    for step in key:
        found = found[step]
    assert repr(found) == repr(value)


def test_defaults_are_filled_at_every_depth():
    recipe = {"epochs": 1, "batch_size": 2, "optimiser": {"name": "sgd", "learning_rate": 0.1}}
    named = {"study": "x", "datasets": ["d"], "models": ["m"]}
    claim = {"name": "a", "claim": "It is so.", "test": "rise", "pruner": "p", "at": 1}
    config = {
        **named,
        "explaining": {"images": 5},
        "families": {"cam": {"batch_size": 1}},
        "claims": [claim, {**claim, "name": "b", "subset": "hard"}],
        "catalogue": {
            "datasets": {"d": {"source": "digits", "noise": {"seed": 3}}},
            "models": {"m": {"architecture": "a", "retraining": recipe}},
            "pruners": {"p": {"criterion": "c", "densities": [0.5], "retraining": recipe}},
            "explainers": {"e": {"family": "cam", "method": "e"}},
            "metrics": {"s": {"method": "s", "parameters": {"a": 1}}},
        },
    }
    before = json.dumps(config)
    found, problems = validated(config)
    assert problems == []
    assert json.dumps(config) == before
    full = {
        **recipe,
        "noise": False,
        "augment": {},
        "label_smoothing": 0,
        "channels_last": True,
        "autocast": False,
        "select": "last",
        "schedule": {"name": "constant"},
    }
    assert found == {
        **named,
        "explaining": {
            "conditions": ["clean"],
            "target": "dense_predicted",
            "images": 5,
            "batch_size": 250,
            "levels": "all",
            "re_explaining_cost": 60,
        },
        # exceptions have no defaults: they would hide what `explaining` says
        "families": {"cam": {"batch_size": 1}},
        "networks": [],
        "pruners": ["magnitude", "retrain"],
        "seeds": [0, 1, 2],
        "agreement": ["spearman"],
        "concepts": [],
        "concept_bank": {},
        "concept_analysis": {"images": "all", "batch_size": 100, "levels": "all"},
        "sample_pruning": {
            "pruners": [],
            "explainers": "all",
            "images": 40,
            "batch_size": 20,
            "levels": [0],
            "visualised": {
                "classes": [],
                "sample_pruner": "spade_fast",
                "method": "fourier",
                "steps": 512,
                "crops": 6,
                "seed": 0,
            },
            "toy": False,
        },
        "claims": [{**claim, "subset": "all"}, {**claim, "name": "b", "subset": "hard"}],
        "statistics": {
            "replicates": 1000,
            "bootstrap_seed": 0,
            "confidence": 0.95,
            "density_floor": 0.02,
        },
        "figures": {
            "headline_metrics": [],
            "sheet_images": 4,
            "sheet_levels": 6,
            "concept_sheet_level": "last",
        },
        "torch_threads": 1,
        "track_code": False,
        "disk_budget_gb": 20,
        "data_folder": "data",
        "catalogue": {
            "sample_pruners": {},
            "datasets": {
                "d": {
                    "source": "digits",
                    "options": {},
                    "noise": {"maximum": 0, "seed": 3},
                }
            },
            "models": {
                "m": {
                    "architecture": "a",
                    "options": {},
                    "initial_weights": "random",
                    "pretraining_dataset": None,
                    "pretraining": None,
                    "training": None,
                    "retraining": full,
                    "evaluation_batch_size": 500,
                }
            },
            "pruners": {
                "p": {
                    "criterion": "c",
                    "scope": "global",
                    "structure": "unstructured",
                    "densities": [0.5],
                    "schedule": "iterative",
                    "rewind": "pretrained",
                    "retraining": full,
                    "published_bugs": [],
                }
            },
            "explainers": {"e": {"family": "cam", "method": "e", "parameters": {}}},
            "metrics": {"s": {"method": "s", "parameters": {"a": 1}}},
            "agreement": {},
            "concepts": {},
        },
    }


def test_a_sound_configuration_stays_sound_with_its_defaults(overlaid, problems_of):
    full, problems = validated(overlaid())
    assert problems == []
    assert validated(full) == (full, [])
    assert problems_of(full) == []


# --- bad input


def catalogue(group, name, **entry):
    return {"catalogue": {group: {name: entry}}}


def pruner(**entry):
    """A pruner `new` that runs alone."""
    entry = {"criterion": "magnitude", **entry}
    return {"pruners": ["new"], **catalogue("pruners", "new", **entry)}


def explainer(**entry):
    """An explainer `new` that runs alone."""
    return {"explainers": ["new"], **catalogue("explainers", "new", **entry)}


def metric(**entry):
    """A metric `new` that runs alone."""
    return {"metrics": ["new"], **catalogue("metrics", "new", **entry)}


RATE = {"rate": 0.5, "levels": 2}
RECIPE = {"epochs": 2, "batch_size": 8, "optimiser": {"name": "sgd", "learning_rate": 0.1}}

CASES = {
    "key": ({"metrix": ["soft_iou"]}, ["'metrix'", "did you mean 'metrics'?"]),
    "key below": ({"explaining": {"image": 4}}, ["explaining", "'image'", "'images'"]),
    "value": ({"explaining": {"target": "label"}}, ["explaining.target", "true, predicted"]),
    "name's form": ({"study": "My Study"}, ["study", "'My Study'", "[a-z0-9_]"]),
    "dataset": ({"datasets": ["digit"]}, ["datasets", "'digit'", "'digits'", "ham10000"]),
    "model": ({"models": ["thesis_cn"]}, ["models", "'thesis_cn'", "did you mean 'thesis_cnn'?"]),
    "pruner": ({"pruners": ["magnitud"]}, ["pruners", "unknown pruner", "'magnitude'", "random"]),
    "explainer": ({"explainers": ["salience"]}, ["explainers", "'salience'", "'saliency'"]),
    "metric": ({"metrics": ["soft_iuo"]}, ["metrics", "'soft_iuo'", "'soft_iou'", "affine_iou"]),
    "agreement": (
        {"agreement": ["ssim", "spearmn"]},
        ["agreement names the unknown agreement metric 'spearmn'", "'spearman'", "top_k_iou"],
    ),
    "metric as agreement": (
        {"agreement": ["soft_iou"]},
        ["agreement names the unknown agreement metric 'soft_iou'", "spearman, ssim, top_k_iou"],
    ),
    "agreement's method": (
        catalogue("agreement", "ssim", method="sim"),
        ["catalogue.agreement.ssim.method", "'sim'", "'ssim'", "spearman"],
    ),
    "parameter of agreement": (
        catalogue("agreement", "top_k_iou", parameters={"k": 5}),
        ["catalogue.agreement.top_k_iou.parameters", "'k'", "share"],
    ),
    "headline metric that does not run": (
        {"metrics": ["soft_iou", "entropy"], "figures": {"headline_metrics": ["otsu_iou"]}},
        ["figures.headline_metrics", "metric that runs 'otsu_iou'", "known: soft_iou, entropy"],
    ),
    "source": (
        catalogue("datasets", "digits", source="digitz"),
        ["catalogue.datasets.digits.source", "'digitz'", "'digits'"],
    ),
    "architecture": (
        catalogue("models", "thesis_cnn", architecture="thesis"),
        ["catalogue.models.thesis_cnn.architecture", "'thesis'", "thesis_cnn"],
    ),
    "criterion": (
        pruner(criterion="magnitudes", **RATE),
        ["catalogue.pruners.new.criterion", "'magnitudes'", "'magnitude'", "random"],
    ),
    "explainer's method": (
        explainer(family="cam", method="gradcam", parameters={"layer": "conv2"}),
        ["catalogue.explainers.new.method", "'gradcam'", "'grad_cam'", "captum.<Class>"],
    ),
    "metric's method": (
        metric(method="soft-iou"),
        ["catalogue.metrics.new.method", "'soft-iou'", "'soft_iou'", "quantus.<Class>"],
    ),
    "foreign library": (
        explainer(family="gradient", method="captun.Saliency"),
        ["catalogue.explainers.new.method", "'captun.Saliency'", "captum.<Class>"],
    ),
    "foreign library without a class": (
        metric(method="quantus."),
        ["catalogue.metrics.new.method", "'quantus.'", "quantus.<Class>"],
    ),
    "class of quantus": (
        metric(method="quantus.Sparsness"),
        ["catalogue.metrics.new.method", "'Sparsness'", "'Sparseness'"],
    ),
    "refused class of captum": (
        explainer(family="gradient", method="captum.LayerLRP", parameters={"layer": "conv2"}),
        ["catalogue.explainers.new.method", "captum.LayerLRP", "nn.Flatten", "lrp"],
    ),
    "refused class of pytorch-grad-cam": (
        explainer(
            family="cam", method="grad_cam.ActivationsAndGradients", parameters={"layer": "conv2"}
        ),
        ["catalogue.explainers.new.method", "grad_cam.ActivationsAndGradients"],
    ),
    "refused class of quantus": (
        metric(method="quantus.InputInvariance"),
        ["catalogue.metrics.new.method", "quantus.InputInvariance", "bias"],
    ),
    "class of captum without its layer": (
        explainer(family="gradient", method="captum.LayerGradCam"),
        ["catalogue.explainers.new.parameters", "captum.LayerGradCam", "layer"],
    ),
    "class of pytorch-grad-cam without layers": (
        explainer(family="cam", method="grad_cam.SESS"),
        ["catalogue.explainers.new.parameters", "grad_cam.SESS", "layers"],
    ),
    "one of several layers": (
        explainer(
            family="cam", method="grad_cam.XGradCAM", parameters={"layers": ["conv1", "conv3"]}
        ),
        ["catalogue.explainers.new.parameters.layers", "'conv3'", "'conv2'"],
    ),
    "bug": (
        pruner(published_bugs=["openlth"], **RATE),
        ["catalogue.pruners.new.published_bugs", "'openlth'", "openlth_threshold"],
    ),
    "layer": (
        explainer(family="cam", method="grad_cam", parameters={"layer": "conv3"}),
        ["catalogue.explainers.new.parameters.layer", "'conv3'", "thesis_cnn", "'conv2'"],
    ),
    "layer of a foreign explainer": (
        explainer(family="cam", method="grad_cam.XGradCAM", parameters={"layer": "conv3"}),
        ["catalogue.explainers.new.parameters.layer", "'conv3'", "thesis_cnn", "'conv2'"],
    ),
    "layer that is a list": (
        explainer(family="cam", method="grad_cam.XGradCAM", parameters={"layer": ["conv2"]}),
        ["catalogue.explainers.new.parameters.layer", "a list of 1", "conv2"],
    ),
    "parameter": (
        explainer(family="cam", method="grad_cam", parameters={"layer": "conv2", "lair": 1}),
        ["catalogue.explainers.new.parameters", "'lair'", "'layer'"],
    ),
    "parameter of a metric": (
        metric(method="soft_iou", parameters={"soft": 1}),
        ["catalogue.metrics.new.parameters", "'soft'", "known"],
    ),
    "kind of a parameter": (
        explainer(family="gradient", method="integrated_gradients", parameters={"n_steps": "many"}),
        ["catalogue.explainers.new.parameters.n_steps", "'many'", "a whole number"],
    ),
    "truth as a number": (
        explainer(family="gradient", method="integrated_gradients", parameters={"n_steps": True}),
        ["catalogue.explainers.new.parameters.n_steps", "true", "a whole number"],
    ),
    "option of a source": (
        catalogue("datasets", "digits", options={"splits": {}}),
        ["catalogue.datasets.digits.options", "'splits'", "'split'"],
    ),
    "kind of an option": (
        catalogue("datasets", "digits", options={"split": "official"}),
        ["catalogue.datasets.digits.options.split", "'official'", "a mapping"],
    ),
    "part of an option": (
        catalogue("datasets", "digits", options={"split": {"tests": 5}}),
        ["catalogue.datasets.digits.options.split", "'tests'", "'test'"],
    ),
    "kind of a part of an option": (
        catalogue("datasets", "digits", options={"split": {"test": "many"}}),
        ["catalogue.datasets.digits.options.split.test", "'many'", "a whole number"],
    ),
    "epoch too late": (
        pruner(rewind="epoch:20", **RATE),
        ["catalogue.pruners.new.rewind", "epoch:20", "thesis_cnn_digits", "20", "earlier"],
    ),
    "epoch with a recipe": (
        pruner(rewind="epoch:1", retraining=RECIPE, **RATE),
        ["catalogue.pruners.new", "epoch:1", "retraining", "drop one"],
    ),
    "densities rise": (
        pruner(densities=[0.5, 0.6, 0.1]),
        ["catalogue.pruners.new.densities", "fall", "[0.5, 0.6, 0.1]"],
    ),
    "densities stay": (
        pruner(densities=[0.5, 0.5]),
        ["catalogue.pruners.new.densities", "fall", "[0.5, 0.5]"],
    ),
    "rate with densities": (
        pruner(densities=[0.5], **RATE),
        ["catalogue.pruners.new", "rate", "densities"],
    ),
    "densities over a rate of config.yaml": (
        catalogue("pruners", "magnitude", densities=[0.5, 0.1]),
        ["catalogue.pruners.magnitude", "densities", "rate and levels", "new pruner"],
    ),
    "levels with densities": (
        pruner(densities=[0.5], levels=2),
        ["catalogue.pruners.new", "levels", "densities"],
    ),
    "sparsities over those of config.yaml": (
        catalogue("sample_pruners", "spade_fast", sparsities={"constant": 0.5}),
        ["catalogue.sample_pruners.spade_fast.sparsities", "constant", "new sample pruner"],
    ),
    "rate without levels": (pruner(rate=0.5), ["catalogue.pruners.new", "'levels' is missing"]),
    "neither rate nor densities": (pruner(), ["catalogue.pruners.new", "missing"]),
    "one shot with a rate": (
        pruner(schedule="one_shot", **RATE),
        ["catalogue.pruners.new", "one_shot", "densities"],
    ),
    "gradual with a rate": (
        pruner(schedule="gradual", **RATE),
        ["catalogue.pruners.new", "gradual", "densities"],
    ),
    "early pruning of a trained network": (
        pruner(schedule="at_initialisation", densities=[0.5], rewind="none"),
        ["catalogue.pruners.new", "at_initialisation", "rewind"],
    ),
    "masks that no training changes": (
        pruner(densities=[0.5], schedule="gradual", rewind="none", retraining={"epochs": 0}),
        ["catalogue.pruners.new", "gradual", "0 epochs"],
    ),
    "masks of an epoch that is not kept": (
        pruner(densities=[0.5], schedule="rigl", retraining={**RECIPE, "select": "best_test"}),
        ["catalogue.pruners.new", "rigl", "select", "last"],
    ),
    "growth by another criterion": (
        pruner(schedule="rigl", densities=[0.5], criterion="random"),
        ["catalogue.pruners.new", "rigl", "magnitude"],
    ),
    "updates of masks that stay": (
        pruner(densities=[0.5], mask_updates={"every": 5}),
        ["catalogue.pruners.new", "mask_updates", "iterative"],
    ),
    "exchange under gradual": (
        pruner(densities=[0.5], schedule="gradual", mask_updates={"drop": 0.5}),
        ["catalogue.pruners.new", "mask_updates.drop", "gradual"],
    ),
    "groups with a rate": (
        pruner(structure="n:4", **RATE),
        ["catalogue.pruners.new", "n:4", "densities"],
    ),
    "groups while training": (
        pruner(structure="n:4", densities=[0.5], schedule="gradual"),
        ["catalogue.pruners.new", "n:4", "gradual"],
    ),
    "groups in a scope": (
        pruner(structure="n:4", densities=[0.5], scope="layer"),
        ["catalogue.pruners.new", "n:4", "scope"],
    ),
    "structure": (pruner(structure="2:4", densities=[0.5]), ["structure", "'2:4'"]),
    "images for a criterion that looks at none": (
        pruner(densities=[0.5], calibration={"images": 5}),
        ["catalogue.pruners.new", "magnitude", "calibration"],
    ),
    "adapted weights that are rewound": (
        pruner(densities=[0.5], criterion="obs", scope="layer"),
        ["catalogue.pruners.new", "obs", "rewind"],
    ),
    "scope": (pruner(densities=[0.5], scope="layers"), ["scope", "'layers'", "'layer'"]),
    "bug with a schedule": (
        pruner(
            densities=[0.5], schedule="at_initialisation", published_bugs=["norm_layers_pruned"]
        ),
        ["catalogue.pruners.new", "published_bugs", "at_initialisation"],
    ),
    "bug with densities": (
        pruner(densities=[0.5], published_bugs=["openlth_threshold"]),
        ["catalogue.pruners.new", "openlth_threshold", "rate", "drop one"],
    ),
    "controls in a family with others": (
        {
            "explainers": ["saliency", "new"],
            **catalogue("explainers", "new", family="gradient", method="edges"),
        },
        ["explainers", "gradient", "new", "family of their own"],
    ),
    "family": (
        {"families": {"camm": {"images": 5}}},
        ["families", "'camm'", "'cam'", "gradient"],
    ),
    "levels of controls": (
        {"families": {"controls": {"levels": [0]}}},
        ["families.controls.levels", "controls", "drop the key"],
    ),
    "exception": (
        {"families": {"cam": {"conditions": ["clean"]}}},
        ["families.cam", "'conditions'", "images, batch_size, levels, target"],
    ),
    "target of a family": (
        {"families": {"cam": {"target": "label"}}},
        ["families.cam.target is 'label'", "true, predicted, dense_predicted"],
    ),
    "reserved family": (
        explainer(family="logs", method="saliency"),
        ["explainers", "'logs'", "reserved", "choose another"],
    ),
    "too many images": (
        {"explaining": {"images": 501}},
        ["explaining.images", "501", "digits", "500"],
    ),
    "too many images of a family": (
        {"families": {"cam": {"images": 501}}},
        ["families.cam.images", "501", "digits", "500"],
    ),
    "level": ({"explaining": {"levels": [0, 6]}}, ["explaining.levels", "6", "0 to 5"]),
    "level of a family": (
        {"families": {"cam": {"levels": [0, 6]}}},
        ["families.cam.levels", "6", "0 to 5"],
    ),
    "level in a sheet": ({"figures": {"sheet_levels": [0, 6]}}, ["figures.sheet_levels", "6"]),
}


def is_one_sentence(text):
    return "\n" not in text and len(text) <= 280 and text[-1] in ".?"


@pytest.mark.parametrize(("overlay", "phrases"), CASES.values(), ids=CASES)
def test_a_fault_is_one_sentence_with_key_and_remedy(problems_of, overlay, phrases):
    found = problems_of(overlay)
    assert len(found) == 1, found
    assert is_one_sentence(found[0]), found
    assert [phrase for phrase in phrases if phrase not in found[0]] == [], found


@pytest.mark.parametrize("group", ["datasets", "models", "pruners"])
def test_reserved_names_are_refused(problems_of, overlaid, group):
    first = overlaid()["catalogue"][group][overlaid()[group][0]]
    found = {
        name: problems_of({group: [name], **catalogue(group, name, **first)}) for name in RESERVED
    }
    assert found == {
        name: [f"{group}: '{name}' is a reserved name; choose another one."] for name in RESERVED
    }


def test_a_study_may_not_take_the_folder_of_references(problems_of):
    found = problems_of({"study": "reference"})
    assert found == ["study: 'reference' is a reserved name; choose another one."]


def test_names_are_looked_up_all_at_once(problems_of):
    found = problems_of(
        {
            "datasets": ["a", "digits"],
            "models": ["b"],
            "pruners": ["c", "dense"],
            "explainers": ["d"],
            "metrics": ["e", "f"],
            "agreement": ["m"],
            "catalogue": {
                "datasets": {"digits": {"source": "g", "options": {}}},
                "pruners": {"magnitude": {"criterion": "h", "published_bugs": ["i"]}},
                "explainers": {"saliency": {"method": "j"}},
                "metrics": {"soft_iou": {"method": "k", "parameters": {"l": 1}}},
            },
        }
    )
    named = sorted(re.search(r"'(\w+)'", sentence)[1] for sentence in found)
    assert named == [*"abcd", "dense", "dense", *"efghijkm"]
    assert all(map(is_one_sentence, found))


def test_combinations_are_judged_all_at_once(problems_of):
    found = problems_of(
        {
            "pruners": ["one", "two"],
            "explainers": ["grad_cam_conv2", "new"],
            "families": {"new": {"levels": [0]}, "other": {}},
            "catalogue": {
                "pruners": {
                    "one": {"criterion": "random", "densities": [0.5, 0.6]},
                    "two": {"criterion": "random", "rewind": "epoch:99", **RATE},
                },
                "explainers": {
                    "grad_cam_conv2": {"parameters": {"layer": "conv9"}},
                    "new": {"family": "new", "method": "edges"},
                },
            },
        }
    )
    for phrase in ("pruners.one.dens", "pruners.two.rewind", "families.new", "'other'", "conv9"):
        assert sum(phrase in sentence for sentence in found) == 1, (phrase, found)
    # three other CAMs of the catalogue do not run, so their layers do not count
    assert len(found) == 5, found


def test_each_model_is_held_against_the_epoch(problems_of):
    overlay = {**pruner(rewind="epoch:10", **RATE), "models": ["thesis_cnn", "thesis_cnn_digits"]}
    (found,) = problems_of(overlay)
    assert "retraining thesis_cnn takes only 10 epochs" in found
    assert problems_of({**overlay, **pruner(rewind="epoch:9", **RATE)}) == []


@pytest.mark.parametrize(
    "overlay",
    [
        pruner(densities=[0.9, 0.5, 0.1], schedule="one_shot"),
        pruner(densities=[1.0, 0.5]),
        pruner(rewind="none", retraining=RECIPE, **RATE),
        pruner(rewind="epoch:19", **RATE),
        pruner(rewind="init", published_bugs=["openlth_threshold"], **RATE),
        explainer(family="gradient", method="captum.Deconvolution"),
        explainer(family="cam", method="grad_cam.XGradCAM", parameters={"layers": ["conv1"]}),
        explainer(family="any", method="saliency", parameters={"reduction": "sum"}),
        metric(method="quantus.Sparseness", parameters={"abs": True}),
        {"families": {"controls": {"images": 5}, "cam": {"levels": [0, 5], "batch_size": 1}}},
        # an overlay may leave out a family for which another one has exceptions
        {"explainers": ["saliency"], "families": {"cam": {"images": 9999, "levels": [99]}}},
        {"families": {"cam": {"target": "predicted"}, "gradient": {"target": True}}},
        # then nothing is compared
        {"explaining": {"target": "predicted"}},
        {"agreement": []},
        {"metrics": ["entropy", "soft_iou"], "figures": {"headline_metrics": ["soft_iou"]}},
        {"explaining": {"images": 500}},
        {"datasets": ["mnist"], "models": ["thesis_cnn"], "explaining": {"images": 10000}},
        {
            **catalogue("datasets", "digits", options={"split": {"test": 900}}),
            "explaining": {"images": 900},
        },
        catalogue("datasets", "mnist", options={"validation": {"share": 0.1, "seed": 0}}),
    ],
    ids=lambda overlay: json.dumps(overlay)[:80],
)
def test_what_is_possible_is_accepted(problems_of, overlay):
    assert problems_of(overlay) == []


def test_optional_parts_may_be_missing(overlaid):
    config = overlaid()
    config["explaining"] = {}
    config["claims"] = [
        {
            "name": "a",
            "claim": "It is so.",
            "test": "rise",
            "pruner": "magnitude",
            "at": 1,
            "later": 2,
        }
        | {"explainer": "saliency", "metric": "soft_iou", "published": 0.03}
    ]
    del config["agreement"], config["families"]
    assert resolve(config)[1] == []


def test_levels_count_over_all_pruners(problems_of):
    overlay = {"pruners": ["magnitude", "thesis_lth"], "explaining": {"levels": [0, 25]}}
    assert problems_of(overlay) == []


# --- facts of registered items that no shipped item has yet


@pytest.mark.parametrize(
    ("entry", "phrase"),
    [
        ({"published_bugs": ["no_mask_in_training"], "criterion": "random"}, "percentile of mag"),
        ({"published_bugs": ["stale_schedule"], "rate": 0}, "rate of 0 prunes nothing"),
        ({"published_bugs": ["aliased_biases"], "rewind": "none"}, "aliased_biases is about"),
        (
            {"published_bugs": ["stale_schedule", "schedule_never_restarted"]},
            "exclude each other; drop one",
        ),
        (
            {
                "published_bugs": ["schedule_never_restarted"],
                "retraining": {**RECIPE, "schedule": {"name": "cosine"}},
            },
            "needs a schedule that falls in steps, and retraining thesis_cnn_digits",
        ),
    ],
)
def test_mistakes_that_would_do_nothing_are_refused(problems_of, entry, phrase):
    whole = {"criterion": "magnitude", "rate": 0.5, "levels": 2, **entry}
    found = problems_of({"pruners": ["new"], "catalogue": {"pruners": {"new": whole}}})
    assert any("catalogue.pruners.new" in text and phrase in text for text in found), found


def test_an_epoch_to_rewind_to_concerns_the_networks_that_are_pruned_so(problems_of):
    pruner = {"criterion": "magnitude", "rate": 0.5, "levels": 2, "rewind": "epoch:5"}
    recipe = {"epochs": 3, "batch_size": 2, "optimiser": {"name": "sgd", "learning_rate": 0.1}}
    networks = [
        {"dataset": "digits", "model": "thesis_cnn", "pruners": ["new"]},
        {"dataset": "digits", "model": "short", "pruners": ["random"]},
    ]
    overlay = {
        "models": ["thesis_cnn", "short"],
        "pruners": ["new", "random"],
        "networks": networks,
        "catalogue": {
            "pruners": {"new": pruner},
            "models": {"short": {"architecture": "thesis_cnn", "retraining": recipe}},
        },
    }
    assert problems_of(overlay) == []
    networks[1]["pruners"] = ["new"]
    assert any("retraining short takes only 3 epochs" in text for text in problems_of(overlay))


@pytest.mark.parametrize(
    "options", [{"test_images": "many"}, {"split": {"validation": 1.5}}, {"variant": 321}]
)
def test_options_that_the_source_refuses_are_no_traceback(problems_of, options):
    entry = {"source": "imagenette", "options": options, "noise": {"maximum": 0}}
    recipe = {
        "epochs": 3,
        "batch_size": 2,
        "optimiser": {"name": "sgd", "learning_rate": 0.1},
        "select": "best_validation",
    }
    overlay = {
        "datasets": ["new"],
        "models": ["net"],
        "explainers": ["saliency"],
        "metrics": ["entropy"],
        "catalogue": {
            "datasets": {"new": entry},
            "models": {"net": {"architecture": "resnet18", "retraining": recipe}},
        },
    }
    assert problems_of(overlay)


def test_a_parameter_that_lacks(problems_of, facts_with):
    from sparsight.explain.registry import EXPLAINERS

    facts_with(EXPLAINERS, "saliency", parameters={"window": "required"})
    found = problems_of()
    assert found
    assert "catalogue.explainers.saliency.parameters" in found[0]
    assert "'window'" in found[0]


@pytest.mark.parametrize(
    ("networks", "phrase"),
    [
        ([("digits", "resnet")], "networks[0].model"),
        ([("digits", "thesis_cnn"), ("digits", "thesis_cnn")], "thesis_cnn on digits 2 times"),
        ([("digits", "thesis_cnn")], "leaves out mnist"),
        ([("digits", "thesis_cnn", {"pruners": ["odd"]})], "networks[0].pruners"),
        ([("digits", "thesis_cnn", {"seeds": [77]})], "networks[0].seeds"),
        ([("digits", "thesis_cnn", {"explainers": ["salience"]})], "networks[0].explainers"),
        (
            [("mnist", "thesis_cnn"), ("digits", "thesis_cnn", {"explainers": ["control_edges"]})],
            "no explainer looks at thesis_cnn",
        ),
    ],
)
def test_networks_that_do_not_fit(problems_of, networks, phrase):
    found = problems_of(
        {
            "datasets": ["digits", "mnist"],
            "models": ["thesis_cnn"],
            "explainers": ["saliency", "input_x_gradient", "control_edges"],
            "networks": [
                {"dataset": dataset, "model": model, **(rest[0] if rest else {})}
                for dataset, model, *rest in networks
            ],
        }
    )
    assert any(phrase in sentence for sentence in found), found


@pytest.mark.parametrize(
    ("recipe", "phrase"),
    [
        ({"select": "best_validation"}, "needs images in the split 'validation'"),
        ({"optimiser": {"name": "adamw", "learning_rate": 0.1, "momentum": 0.9}}, "'momentum'"),
        ({"schedule": {"name": "step", "factor": 0.1}}, "'every'"),
        ({"schedule": {"name": "multi_step", "factor": 0.1}}, "'milestones'"),
        ({"schedule": {"name": "cosine", "every": 2}}, "'every'"),
    ],
)
def test_recipes_that_cannot_be_trained_with(problems_of, recipe, phrase):
    sgd = {"name": "sgd", "learning_rate": 0.1}
    whole = {"epochs": 1, "batch_size": 2, "optimiser": sgd, **recipe}
    model = {"architecture": "thesis_cnn", "retraining": whole}
    found = problems_of({"models": ["new"], "catalogue": {"models": {"new": model}}})
    assert len(found) == 1, found
    assert phrase in found[0]
    assert "catalogue.models.new.retraining." in found[0]


def test_masks_that_a_metric_needs(problems_of, facts_with):
    from sparsight.data.registry import SOURCES

    facts_with(SOURCES, "digits", has_masks=False)
    found = problems_of({"metrics": ["soft_iou", "gini_sparseness"]})
    assert found == [
        "metrics: soft_iou needs masks, which digits does not have; drop one, or give "
        "thesis_cnn_digits on digits metrics of its own under networks."
    ]
    own = {"dataset": "digits", "model": "thesis_cnn_digits", "metrics": ["gini_sparseness"]}
    given = {"metrics": ["soft_iou", "gini_sparseness"], "networks": [own]}
    assert not problems_of(given)
    claim = {"name": "a", "claim": "b", "test": "peak", "pruner": "magnitude", "metric": "soft_iou"}
    claim |= {"explainer": "grad_cam_conv2", "published": 3}
    (problem,) = problems_of({**given, "claims": [claim]})
    assert "claims[0].metric is soft_iou, which does not run with thesis_cnn_digits" in problem


def test_masks_that_a_foreign_metric_needs(problems_of, facts_with):
    from sparsight.data.registry import SOURCES

    facts_with(SOURCES, "digits", has_masks=False)
    found = problems_of(metric(method="quantus.RelevanceMassAccuracy"))
    assert found == [
        "metrics: new needs masks, which digits does not have; drop one, or give "
        "thesis_cnn_digits on digits metrics of its own under networks."
    ]
    assert problems_of(metric(method="quantus.Sparseness")) == []


@pytest.mark.parametrize("method", ["quantus.ROAD", "quantus.IROF"])
def test_metrics_of_grey_images(problems_of, method):
    assert problems_of(metric(method=method)) == []
    colour = {**metric(method=method), "datasets": ["shapes"], "models": ["resnet18_shapes"]}
    colour |= {"explainers": ["saliency"], "explaining": {"conditions": ["clean"]}}
    found = [line for line in problems_of(colour) if method in line]
    assert len(found) == 1
    assert "shapes" in found[0]


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ({}, []),
        (
            {"masks": "none"},
            ["metrics: soft_iou needs masks, which new does not have; drop one, or"],
        ),
        (
            {"masks": "lines"},
            ["catalogue.datasets.new.options: 'masks' must be one of lesions, none"],
        ),
        ({"split": {"test": 40}}, ["explaining.images is 50, but new has 40 test images"]),
        (
            {"split": {"test": 1.5}},
            ["catalogue.datasets.new.options: 'split: test' must be a share"],
        ),
    ],
)
def test_options_that_decide_what_a_data_set_has(problems_of, options, found):
    sgd = {"epochs": 1, "batch_size": 2, "optimiser": {"name": "sgd", "learning_rate": 0.1}}
    overlay = {
        "datasets": ["new"],
        "models": ["net"],
        "explainers": ["saliency"],
        "metrics": ["soft_iou"],
        "explaining": {"images": 50},
        "catalogue": {
            "datasets": {"new": {"source": "ham10000", "options": options}},
            "models": {"net": {"architecture": "resnet18", "retraining": sgd}},
        },
    }
    sentences = problems_of(overlay)
    assert len(sentences) == len(found)
    for sentence, start in zip(sentences, found, strict=True):
        assert sentence.startswith(start)
        assert is_one_sentence(sentence)


def test_every_data_set_of_the_catalogue_is_understood():
    from sparsight.data.registry import SOURCES

    catalogue = with_bases(catalogue_and_study(ROOT, own=True))[0]["catalogue"]
    for name, entry in catalogue["datasets"].items():
        source, options = SOURCES.load(entry["source"]), entry["options"]
        assert set(options) <= set(source.parameters), name
        assert source.split_names(options)[0] == "train", name
        assert source.shape(options)[1] > 0
        assert source.tested_of(options) > 0
        assert len(source.classes_of(options)) >= 2
        assert isinstance(source.has_concepts(options), bool)
        if "has_masks" not in source.varying:
            assert source.masks_of(options) == source.has_masks, name


def test_a_model_takes_images_of_one_shape(problems_of, facts_with):
    from sparsight.data.registry import SOURCES

    facts_with(SOURCES, "mnist", image_shape=(3, 32, 32))
    (found,) = problems_of({"datasets": ["digits", "mnist"], "models": ["thesis_cnn"]})
    for phrase in ("thesis_cnn", "(1, 28, 28)", "mnist", "(3, 32, 32)", "drop one"):
        assert phrase in found
    assert is_one_sentence(found)


def test_an_explainer_that_a_model_cannot_run(problems_of, facts_with):
    from sparsight.explain.registry import EXPLAINERS

    facts_with(EXPLAINERS, "saliency", excluded_models=("thesis_cnn",))
    found = problems_of()
    assert found == [
        "explainers: saliency does not work on thesis_cnn; drop one of them, or give "
        "thesis_cnn_digits explainers of its own under networks."
    ]


def test_an_explainer_of_attention_needs_a_network_that_has_it(problems_of, facts_with):
    from sparsight.explain.registry import EXPLAINERS
    from sparsight.models.registry import MODELS

    facts_with(EXPLAINERS, "saliency", needs_attention=True)
    (found,) = problems_of()
    for phrase in ("saliency", "attention", "thesis_cnn", "drop one"):
        assert phrase in found
    assert is_one_sentence(found)
    facts_with(MODELS, "thesis_cnn", attention=True)
    assert problems_of() == []
    # on a network of others it has been tried
    facts_with(MODELS, "thesis_cnn", attention=False, refused={})
    assert problems_of() == []


@settings(deadline=None)
@given(st.randoms(use_true_random=False))
def test_whatever_is_broken_is_told_in_sentences(problems_of, overlaid, order):
    broken = _broken(overlaid(), random.Random(order.random()))
    found = problems_of(broken)
    assert all(map(is_one_sentence, found)), found


def _broken(config, order):
    """A copy with one value somewhere replaced by one of another kind."""
    copy = json.loads(json.dumps(config))
    node = copy
    while True:
        keys = list(node) if isinstance(node, dict) else list(range(len(node)))
        key = order.choice(keys)
        inner = node[key]
        if not (isinstance(inner, dict | list) and inner and order.random() < 0.8):
            node[key] = order.choice([None, True, -1, 10**6, 0.5, "x", [], ["x"], {}, {"x": [1]}])
            return copy
        node = inner


@pytest.mark.parametrize(
    ("kind", "entry", "key", "allowed"),
    [
        (
            "explainers",
            {"method": "saliency", "family": "new", "parameters": {"reduction": "men"}},
            "parameters.reduction",
            ["max, sum, mean", "'mean'"],
        ),
        (
            "metrics",
            {"method": "sufficiency", "parameters": {"share": 1}},
            "parameters.share",
            ["above 0 and below 1"],
        ),
        (
            "agreement",
            {"method": "spearman", "parameters": {"treatment": "abs"}},
            "parameters.treatment",
            ["signed, absolute, positive"],
        ),
        (
            "concepts",
            {"method": "cav", "parameters": {"strengths": [0.1, 0]}},
            "parameters.strengths",
            ["above 0"],
        ),
        (
            "models",
            {"architecture": "resnet18", "options": {"stem": "smal"}},
            "options.stem",
            ["imagenet, strided, small", "'small'"],
        ),
        (
            "models",
            {"architecture": "resnet18", "options": {"width": 0}},
            "options.width",
            ["at least 1"],
        ),
    ],
    ids=str,
)
def test_values_that_an_item_does_not_allow_are_refused_before_any_job(
    problems_of, kind, entry, key, allowed
):
    if kind == "models":
        entry = {**entry, "retraining": {"epochs": 0}}
    (found,) = problems_of({"catalogue": {kind: {"new": entry}}})
    assert found.startswith(f"catalogue.{kind}.new.{key} is ")
    assert all(words in found for words in allowed), found
