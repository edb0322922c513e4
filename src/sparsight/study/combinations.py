"""What does not go together in a configuration: data sets, models, explainers, metrics, images."""

import itertools
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from sparsight.data.registry import SOURCES
from sparsight.explain.registry import EXPLAINERS
from sparsight.io.errors import InputError
from sparsight.models.options import checked_options, layer_names
from sparsight.models.registry import MODELS
from sparsight.study.phrases import unknown_name
from sparsight.study.plan import Network, Study, metric_facts
from sparsight.study.starts import start_problems
from sparsight.study.storage import available_images, has_masks, shape_of_images
from sparsight.training.options import recipe_problems

Config = Mapping[str, Any]


#: explainers of a study that names none; each network has those that work on it
DEFAULT_EXPLAINERS = (
    *("saliency", "input_x_gradient", "integrated_gradients", "grad_cam_pp", "mean_activation"),
    *("control_random", "control_edges", "control_centre", "control_input"),
)
#: metrics of a study that names none; each network has those that its data set has masks for
DEFAULT_METRICS = (
    *("soft_iou", "area_matched_iou", "pointing_game", "pixel_roc_auc"),
    *("gini_sparseness", "entropy"),
)
#: images of a study that says no number, where all its data sets have as many
DEFAULT_IMAGES = 200


def with_choices(config: Config) -> dict[str, Any]:
    """A copy with explainers, metrics and a number of images where the study leaves them out.

    Parameters
    ----------
    config : with defaults, and with sound data sets.
    """
    study = Study(config)
    networks = [dict(network) for network in config["networks"]] or [
        {"dataset": dataset, "model": model}
        for dataset in config["datasets"]
        for model in config["models"]
    ]
    chosen: dict[str, Any] = {}
    for group, names, problems in (
        ("explainers", DEFAULT_EXPLAINERS, _explainer_problems),
        ("metrics", DEFAULT_METRICS, _metric_problems),
    ):
        if group in config:
            continue
        for network in networks:
            pair = network["dataset"], network["model"]
            if pair[0] in config["datasets"] and pair[1] in config["models"]:
                network[group] = network.get(group) or [
                    name for name in names if not any(problems(study, *pair, name))
                ]
        given = [network.get(group, []) for network in networks]
        chosen[group] = list(dict.fromkeys(itertools.chain(*given)))
        if all(names == chosen[group] for names in given):
            for network in networks:
                del network[group]
    if any(network.keys() - {"dataset", "model"} for network in networks):
        chosen["networks"] = networks
    if "images" not in config["explaining"]:
        least = min(available_images(study, dataset) for dataset in config["datasets"])
        images = DEFAULT_IMAGES if least >= DEFAULT_IMAGES else "all"
        chosen["explaining"] = {**config["explaining"], "images": images}
    return {**config, **chosen}


def network_problems(config: Config) -> Iterator[str]:
    """Whether `networks` names what runs, and all of it; nothing else can be asked before."""
    given = config.get("networks", [])
    groups = {"dataset": "datasets", "model": "models"}
    for index, network in enumerate(given):
        for key, group in groups.items():
            if network[key] not in config[group]:
                where = f"networks[{index}].{key}"
                yield unknown_name(f"{key} that runs", where, network[key], config[group])
        for group in ("pruners", "explainers", "metrics", "concepts", "seeds"):
            known = config.get(group, [])
            for name in network.get(group, []):
                if name not in known:
                    kind = f"{group.removesuffix('s')} that runs"
                    yield unknown_name(kind, f"networks[{index}].{group}", name, known)
    pairs = Counter((network["dataset"], network["model"]) for network in given)
    for (dataset, model), count in pairs.items():
        if count > 1:
            yield f"networks holds {model} on {dataset} {count} times; leave one."
    for key, group in groups.items():
        for name in config[group] if given else []:
            if name not in {network[key] for network in given}:
                yield f"networks leaves out {name} of {group}; add it there, or drop it here."


def combination_problems(config: Config) -> Iterator[str]:
    """Sentences on whatever cannot run together."""
    study = Study(config)
    looking = {name for name in config["explainers"] if study.needs_network(name)}
    for network in study.networks():
        wrong = [*_model_problems(study, network)]
        yield from wrong or start_problems(study, network)
        pair = network.dataset, network.model
        for name in () if wrong else network.explainers:
            yield from _explainer_problems(study, *pair, name)
        if looking and not looking.intersection(network.explainers):
            yield f"networks: no explainer looks at {network.model}; add one to its explainers."
        yield from _recipe_problems(study, network)
        for name in network.metrics:
            yield from _metric_problems(study, *pair, name)
    for dataset in config["datasets"]:
        # Several families can have the same from one key.
        yield from dict.fromkeys(_image_problems(study, dataset))


def _model_problems(study: Study, network: Network) -> Iterator[str]:
    """Whether a model can be built as asked, and takes the images."""
    entry = study.catalogue["models"][network.model]
    facts = MODELS.facts(entry["architecture"])
    try:
        checked_options(facts, entry.get("options", {}))
        shape = shape_of_images(study, network.dataset)
    except InputError as error:
        yield f"models: {network.model} on {network.dataset}: {error}."
        return
    channels, *sides = facts["input_shape"]
    smallest = facts.get("minimum_side", 1)
    wanted = f"({channels}, {', '.join(str(side) for side in sides)})"
    if not any(sides):
        wanted = f"({channels}, any from {smallest}, any from {smallest})"
        fits = channels == shape[0] and min(shape[1:]) >= smallest
    else:
        fits = (channels, *sides) == shape
    if not fits:
        yield (
            f"models: {network.model} takes images of {wanted}, but {network.dataset} has "
            f"{shape} (channels, height, width); drop one of them."
        )


def _recipe_problems(study: Study, network: Network) -> Iterator[str]:
    """Whether the recipes of a model and of its pruners can be trained with on a data set."""
    entry = study.catalogue["models"][network.model]
    where = f"catalogue.models.{network.model}"
    recipes = {f"{where}.{key}": entry.get(key) for key in ("training", "retraining")}
    for pruner in network.pruners:
        own = study.catalogue["pruners"][pruner].get("retraining")
        recipes[f"catalogue.pruners.{pruner}.retraining"] = own
    given = {key: recipe for key, recipe in recipes.items() if recipe}
    splits: tuple[str, ...] = ("train", "test")
    if any(recipe.get("select", "last") != "last" for recipe in given.values()):
        # Only then is the source asked, which has to be imported for that.
        dataset = study.catalogue["datasets"][network.dataset]
        source = SOURCES.load(dataset["source"])
        try:
            splits = tuple(source.split_names(dataset.get("options", {})))
        except InputError as error:
            yield f"catalogue.datasets.{network.dataset}.options: {error}."
            return
    for key, recipe in given.items():
        for problem in recipe_problems(recipe, splits):
            yield f"{key} on {network.dataset}: {problem}."


def _explainer_problems(study: Study, _: str, model: str, name: str) -> Iterator[str]:
    """Whether a network has the layers that an explainer names, and can be explained by it."""
    architecture = study.catalogue["models"][model]["architecture"]
    layers = layer_names(MODELS.facts(architecture))
    entry = study.catalogue["explainers"][name]
    given = entry.get("parameters", {})
    several = given.get("layers")
    named = {"layer": [given.get("layer")]}
    if EXPLAINERS.is_foreign(entry["method"]):
        named["layers"] = several if isinstance(several, list) else [several]
    for parameter, chosen in named.items():
        key = f"catalogue.explainers.{name}.parameters.{parameter}"
        for layer in chosen:
            # An empty layer is the architecture's own.
            if layer not in (None, "") and not (isinstance(layer, str) and layer in layers):
                yield unknown_name(f"layer of {architecture}", key, layer, layers)
    if architecture in EXPLAINERS.facts(entry["method"]).get("excluded_models", ()):
        yield (
            f"explainers: {name} does not work on {architecture}; drop one of them, or give "
            f"{model} explainers of its own under networks."
        )


def _metric_problems(study: Study, dataset: str, model: str, name: str) -> Iterator[str]:
    """Whether a data set has the masks that a metric needs, and the channels."""
    method = study.catalogue["metrics"][name]["method"]
    facts = metric_facts(method)
    why = facts.get("foreign_grey_only", {}).get(method.partition(".")[2])
    if why is not None and shape_of_images(study, dataset)[0] > 1:
        yield (
            f"metrics: {name} ({method}) takes images of one channel, and those of {dataset} have "
            f"several: {why}, or give {model} metrics of its own under networks."
        )
    if "mask" in facts["needs"] and not has_masks(study, dataset):
        yield (
            f"metrics: {name} needs masks, which {dataset} does not have; drop one, or give "
            f"{model} on {dataset} metrics of its own under networks."
        )


def _image_problems(study: Study, dataset: str) -> Iterator[str]:
    available = available_images(study, dataset)
    for key, part in explaining_parts(study.config):
        wanted = part.get("images", "all")
        if wanted != "all" and wanted > available:
            yield (
                f"{key}.images is {wanted}, but {dataset} has {available} test images; "
                "give at most that, or all."
            )


def explaining_parts(config: Config) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """`explaining`, and the exceptions from it that take effect, with their keys."""
    yield "explaining", config["explaining"]
    study = Study(config)
    families, made = study.families(), config.get("sample_pruning", {})
    for family, exceptions in config.get("families", {}).items():
        if family in families:
            given = {key: exceptions.get(key) for key in ("images", "levels")}
            # The exceptions of families on pruned copies are made, unless they are given.
            if study.sample_pruner(family) and given == {key: made.get(key) for key in given}:
                yield "sample_pruning", exceptions
            else:
                yield f"families.{family}", exceptions
