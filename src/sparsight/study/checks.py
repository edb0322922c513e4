"""What does not go together in a configuration: an error message for each, with key and remedy."""

import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from typing import Any

from sparsight.concepts.registry import CONCEPTS
from sparsight.data.registry import SOURCES
from sparsight.explain.registry import EXPLAINERS
from sparsight.io.errors import InputError
from sparsight.metrics.registry import AGREEMENT, METRICS
from sparsight.models.options import checked_options, layer_names
from sparsight.models.registry import MODELS
from sparsight.parameters import REQUIRED, hint
from sparsight.pruning.registry import BUGS_OF_TRAINING, CRITERIA, PUBLISHED_BUGS
from sparsight.registration import Registry
from sparsight.spade.registry import SOLVERS
from sparsight.study.phrases import (
    TYPES,
    as_yaml,
    in_words,
    join_names,
    misread,
    unknown_name,
)
from sparsight.study.plan import (
    CHOICES,
    DENSE,
    RESERVED,
    WORDS,
    ConceptPlan,
    Network,
    Study,
    available_images,
    class_names,
    has_concepts,
    has_masks,
    has_parts,
    metric_facts,
    prunes_for,
    searches,
    shape_of_images,
    sparsities_from,
    stickers_of,
    unpruned_family,
    visualisation,
)
from sparsight.training.options import recipe_problems

# --------------------------------------------------------------------------------------- parameters

_TYPES_OF: tuple[tuple[type, str], ...] = (
    # bool before int, of which it is a subclass
    (bool, "boolean"),
    (int, "integer"),
    (float, "number"),
    (str, "string"),
    (list, "array"),
    (Mapping, "object"),
)


def parameter_problems(
    where: str, values: Mapping[str, Any], known: Mapping[str, Any]
) -> Iterator[str]:
    """One error message for each parameter that is unknown, missing, or not of its default's kind.

    Parameters
    ----------
    where : dotted path of the parameters in the configuration.
    values : what the configuration gives.
    known : parameter to default, as the item's fact `parameters` says; `"required"` where there is
        none. A default that is a mapping is compared in the same way.
    """
    for name, value in values.items():
        key = f"{where}.{name}"
        if name not in known:
            yield unknown_name("parameter", where, name, known)
        elif isinstance(known[name], Mapping) and isinstance(value, Mapping):
            yield from parameter_problems(key, value, known[name])
        elif not _fits(value, known[name]):
            kind = _kind(known[name])
            yield f"{key} is {in_words(value)}, but must be {TYPES[kind]}{misread(value, kind)}."
    for name, default in known.items():
        if default == REQUIRED and name not in values:
            yield f"'{name}' is missing at {where}; it is required."


def _kind(value: Any) -> str:
    return next((kind for cls, kind in _TYPES_OF if isinstance(value, cls)), "null")


def _fits(value: Any, default: Any) -> bool:
    if default is None or default == REQUIRED:
        return True
    if isinstance(default, str) and isinstance(value, Mapping):
        # a word that stands for a mapping, such as mnist's `validation: none`
        return True
    if default == "all" and _kind(value) == "integer":
        # how many, or all of them
        return True
    kinds = {_kind(default), "integer"} if isinstance(default, float) else {_kind(default)}
    return _kind(value) in kinds


# --------------------------------------------------------------------------------- starts of models


def start_problems(study: Study, network: Network) -> Iterator[str]:
    """One error message for each thing that does not go together in the start of a network."""
    entry = study.catalogue["models"][network.model]
    where = f"catalogue.models.{network.model}"
    yield from _weights_problems(study, network.model, where)
    for key in ("training", "pretraining"):
        if (entry.get(key) or {}).get("epochs") == 0:
            yield f"{where}.{key} takes 0 epochs; give it some, or set it to null."
    # Other pretraining and ImageNet's weights leave the classifier as it was drawn.
    learns = entry.get("training") or study.initial_weights(network.model) not in WORDS
    if not entry["retraining"]["epochs"] and not learns:
        yield (
            f"{where}.retraining takes 0 epochs, and nothing else trains {network.model} on "
            f"{network.dataset}; give it a training, or the weights of a trained network in a file."
        )
    other, recipe = entry.get("pretraining_dataset"), entry.get("pretraining")
    if (other is None) != (recipe is None):
        yield f"{where} needs both pretraining_dataset and pretraining, or neither; add the other."
    elif other is not None:
        yield from _pretraining_problems(study, network, where)


def _weights_problems(study: Study, model: str, where: str) -> Iterator[str]:
    entry, given = study.catalogue["models"][model], study.initial_weights(model)
    if given not in WORDS and "/" not in given and "." not in given:
        yield (
            f"{where}.initial_weights is '{given}'{hint(given, WORDS)}; it must be random, "
            "imagenet, or the path of a file."
        )
    if given != "imagenet":
        return
    facts = MODELS.facts(entry["architecture"])
    if not facts["imagenet_weights"]:
        yield (
            f"{where}: there are no ImageNet weights of {entry['architecture']}; set "
            "initial_weights to random or to the path of a file."
        )
        return
    options, defaults = checked_options(facts, entry.get("options", {})), facts["option_defaults"]
    for key in (key for key in defaults if options[key] != defaults[key]):
        yield (
            f"{where}: the ImageNet weights are for the option {key} of {defaults[key]}, not "
            f"{options[key]}; drop the option, or start from other weights."
        )


def _pretraining_problems(study: Study, network: Network, where: str) -> Iterator[str]:
    entry: dict[str, Any] = study.catalogue["models"][network.model]
    other = entry["pretraining_dataset"]
    if other not in study.catalogue["datasets"]:
        known = study.catalogue["datasets"]
        yield unknown_name("data set", f"{where}.pretraining_dataset", other, known)
        return
    if other == network.dataset:
        yield (
            f"{where}.pretraining_dataset is the study's own {other}; give the recipe as training "
            "instead."
        )
        return
    shape, own = shape_of_images(study, other), shape_of_images(study, network.dataset)
    if shape != own:
        yield (
            f"{where}.pretraining_dataset: {other} has images of {shape}, but {network.dataset} "
            f"has {own} (channels, height, width); choose equal ones."
        )
    yield from _untrainable(study, other, {f"{where}.pretraining": entry["pretraining"]})


def _untrainable(study: Study, name: str, recipes: Mapping[str, Any]) -> Iterator[str]:
    """Whether recipes, by their keys, can be trained with on a data set."""
    splits: tuple[str, ...] = ("train", "test")
    if any(recipe.get("select", "last") != "last" for recipe in recipes.values()):
        # Only then is the source asked, which has to be imported for that.
        dataset = study.catalogue["datasets"][name]
        source = SOURCES.load(dataset["source"])
        try:
            splits = tuple(source.split_names(dataset.get("options", {})))
        except InputError as error:
            yield f"catalogue.datasets.{name}.options: {error}."
            return
    for key, recipe in recipes.items():
        for problem in recipe_problems(recipe, splits):
            yield f"{key} on {name}: {problem}."


# ----------------------------------------------------------------------------------------- networks

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
    yield from _untrainable(study, network.dataset, given)


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


# ---------------------------------------------------------------------------------------- data sets


def dataset_problems(config: Mapping[str, Any]) -> Iterator[str]:
    """One error message for each data set that is prepared and that its source cannot give.

    Whatever plans with a data set asks its source the same questions, and may take answers for
    granted after this.
    """
    study = Study(config)
    for dataset in study.prepared_datasets():
        if dataset not in study.catalogue["datasets"]:
            # another message says that the name is unknown
            continue
        try:
            for question in (
                shape_of_images,
                available_images,
                has_masks,
                has_parts,
                has_concepts,
                _varying_classes,
            ):
                question(study, dataset)
        except InputError as error:
            yield f"catalogue.datasets.{dataset}.options: {error}."


def _varying_classes(study: Study, dataset: str) -> None:
    """Ask for the classes, where options decide them: other sources need not be imported for it."""
    source = study.catalogue["datasets"][dataset]["source"]
    if "class_count" in SOURCES.facts(source).get("varying", ()):
        class_names(study, dataset)


# ----------------------------------------------------------------------------------------- concepts

#: need of a concept method to what it is in words, and whether a data set has it
_NEEDS: dict[str, tuple[str, Callable[[Study, str], bool]]] = {
    "concept_labels": ("concept labels", has_concepts),
    "masks": ("masks", has_masks),
    "part_masks": ("masks of parts", has_parts),
}
#: a concept's measures lie in `{concept}_measures.parquet`
_TAKEN_END = "_measures"


def concept_problems(config: Mapping[str, Any]) -> Iterator[str]:
    """Sentences on whatever in `concepts`, `concept_bank` and `concept_analysis` cannot run.

    Parameters
    ----------
    config : normalised, sound by the schema, with names that are in the catalogue.
    """
    study = Study(config)
    plan = ConceptPlan(study)
    for name in plan.names():
        if name.endswith(_TAKEN_END):
            yield (
                f"concepts: the name {name} ends in {_TAKEN_END}, which names a file of another "
                "concept method; choose another name."
            )
    unknown = [*_bank_problems(config)]
    yield from unknown
    if unknown or not plan.names():
        return
    for network in study.networks():
        yield from _network_problems(plan, network)
    yield from _analysis_problems(study)


def _bank_problems(config: Mapping[str, Any]) -> Iterator[str]:
    """Names in `concept_bank` that there are not."""
    known = config["catalogue"]["datasets"]
    for dataset, bank in config.get("concept_bank", {}).items():
        if dataset not in config["datasets"]:
            yield unknown_name("dataset that runs", "concept_bank", dataset, config["datasets"])
        if bank not in known:
            yield unknown_name("dataset", f"concept_bank.{dataset}", bank, known)
        elif bank in RESERVED:
            yield f"concept_bank.{dataset}: '{bank}' is a reserved name; choose another one."


def _network_problems(plan: ConceptPlan, network: Network) -> Iterator[str]:
    study, bank = plan.study, plan.study.concept_bank(network.dataset)
    if bank != network.dataset:
        yield from _shape_problems(study, network, bank)
    for name in plan.names(network):
        for need in plan.facts(name)["needs"]:
            words, has = _NEEDS[need]
            owner = bank if need == "concept_labels" else network.dataset
            if has(study, owner):
                continue
            remedy = "drop one of them, or give the model other concepts under networks"
            if need == "concept_labels":
                remedy = f"name a data set that has them under concept_bank.{network.dataset}"
            yield f"concepts: {name} needs {words}, which {owner} does not have; {remedy}."


def _shape_problems(study: Study, network: Network, bank: str) -> Iterator[str]:
    """Whether the model takes the images of the bank."""
    shape, own = shape_of_images(study, bank), shape_of_images(study, network.dataset)
    facts = MODELS.facts(study.catalogue["models"][network.model]["architecture"])
    fixed = any(facts["input_shape"][1:])
    too_small = min(shape[1:]) < facts.get("minimum_side", 1)
    if shape[0] != own[0] or too_small or (fixed and shape != own):
        yield (
            f"concept_bank.{network.dataset} is {bank}, whose images are {shape} (channels, "
            f"height, width), but {network.model} takes {own} here; give {bank} the same size."
        )


def _analysis_problems(study: Study) -> Iterator[str]:
    analysis = study.config.get("concept_analysis", {})
    wanted, levels = analysis.get("images", "all"), analysis.get("levels", "all")
    for dataset in study.config["datasets"]:
        available = available_images(study, dataset)
        if wanted != "all" and wanted > available:
            yield (
                f"concept_analysis.images is {wanted}, but {dataset} has {available} test images; "
                "give at most that, or all."
            )
    last = max(study.level_count(pruner) for pruner in study.config["pruners"])
    if isinstance(levels, list):
        for level in levels:
            if level > last:
                yield (
                    f"concept_analysis.levels holds level {level}, but the pruners' levels are 0 "
                    f"to {last}."
                )
        if 0 not in levels:
            yield (
                f"concept_analysis.levels is {in_words(levels)} without 0; add level 0, the dense "
                "network that all others are compared with."
            )


# -------------------------------------------------------------------------- sample-targeted pruning

_WHERE = "sample_pruning.visualised"


def sample_combination_problems(config: Mapping[str, Any]) -> Iterator[str]:
    """Sentences on what cannot run, or what the table of sample pruning could not be made of.

    Parameters
    ----------
    config : as `with_pruned_samples` leaves it, with sound data sets.
    """
    pruners = config.get("sample_pruning", {}).get("pruners", [])
    if not pruners:
        return
    study = Study(config)
    if not study.sample_families():
        yield (
            "sample_pruning.explainers: none of them looks at the network without being a "
            "control, so that nothing would be pruned for samples; add one, or name no pruners."
        )
    yield from dict.fromkeys(_level_problems(study))
    for name in dict.fromkeys(sparsities_from(study.catalogue, pruner) for pruner in pruners):
        if searches(study.catalogue["sample_pruners"][name]):
            yield from _calibration_problems(study, name)


def _level_problems(study: Study) -> Iterator[str]:
    """Levels at which a family runs on copies and not on the network."""
    for family in study.sample_families():
        own = unpruned_family(study.sample_pruner(family), family)
        lacking = [
            level
            for pruner in study.config["pruners"]
            for level in range(study.level_count(pruner) + 1)
            for owner in (pruner if level else DENSE,)
            if study.explains(family, owner, level) and not study.explains(own, owner, level)
        ]
        if lacking:
            levels = join_names([str(level) for level in sorted(set(lacking))])
            yield (
                f"sample_pruning.levels: {own} is explained on the network itself at other levels "
                f"({levels} missing), so that copies have nothing to be compared with there; give "
                f"families.{own} these levels too."
            )


def _calibration_problems(study: Study, sample_pruner: str) -> Iterator[str]:
    """Data sets that lack the split or the masks that a search needs."""
    where = f"catalogue.sample_pruners.{sample_pruner}.sparsities.search"
    search = study.catalogue["sample_pruners"][sample_pruner]["sparsities"]["search"]
    split = search.get("split", "train")
    for dataset in study.config["datasets"]:
        entry = study.catalogue["datasets"][dataset]
        if split != "train":
            # Only then is the source asked, which has to be imported for that.
            source = SOURCES.load(entry["source"])
            if split not in source.split_names(entry.get("options", {})):
                yield f"{where}.split is {split}, which {dataset} does not have; take train."
        if search.get("criterion") == "ground_truth" and not has_masks(study, dataset):
            yield (
                f"{where}.criterion is ground_truth, which needs masks, but {dataset} has none; "
                "take without_truth."
            )


def sample_pruning_problems(config: Mapping[str, Any]) -> Iterator[str]:
    """Sentences on what is wrong with `sample_pruning` and the sample pruners that it names."""
    chosen = config.get("sample_pruning", {})
    known = config["catalogue"].get("sample_pruners", {})
    for name in chosen.get("pruners", []):
        if name not in known:
            yield unknown_name("sample pruner", "sample_pruning.pruners", name, known)
    named = chosen.get("explainers", "all")
    for name in named if named != "all" else ():
        if name not in config["explainers"]:
            where = "sample_pruning.explainers"
            yield unknown_name("explainer that runs", where, name, config["explainers"])
        elif name in config["catalogue"]["explainers"] and not prunes_for(config, name):
            yield (
                f"sample_pruning.explainers: {name} is a control or looks at no network, so that "
                "there is nothing to prune for it; drop it there."
            )
    for name, entry in known.items():
        yield from _entry_problems(known, name, entry)


def _entry_problems(known: Mapping[str, Any], name: str, entry: Mapping[str, Any]) -> Iterator[str]:
    where = f"catalogue.sample_pruners.{name}"
    if entry["solver"] not in SOLVERS:
        yield unknown_name(SOLVERS.kind, f"{where}.solver", entry["solver"], SOLVERS.names())
        return
    parameters = SOLVERS.facts(entry["solver"]).get("parameters", {})
    yield from parameter_problems(f"{where}.parameters", entry.get("parameters", {}), parameters)
    other = entry["sparsities"].get("as")
    if other is None:
        return
    if other not in known:
        yield unknown_name("sample pruner", f"{where}.sparsities.as", other, known)
    elif "as" in known[other]["sparsities"]:
        yield (
            f"{where}.sparsities.as is {other}, which takes those of another one itself; name "
            f"{known[other]['sparsities']['as']} instead."
        )


def visualisation_problems(config: Mapping[str, Any]) -> Iterator[str]:
    """Sentences on what is wrong with `sample_pruning.visualised`; data sets must be sound."""
    chosen = visualisation(config)
    if not chosen:
        return
    study = Study(config)
    known = study.catalogue.get("sample_pruners", {})
    name = chosen.get("sample_pruner", "")
    if not name:
        yield (
            f"{_WHERE}.sample_pruner is missing, so that nothing says how networks are pruned "
            "for an image; name one of catalogue.sample_pruners."
        )
    elif name not in known:
        yield unknown_name("sample pruner", f"{_WHERE}.sample_pruner", name, known)
    datasets = list(dict.fromkeys(network.dataset for network in study.networks()))
    classes = {name: stickers_of(study, name) for name in datasets}
    if not any(classes.values()):
        yield (
            f"{_WHERE}.classes is {as_yaml(chosen['classes'])}, but no data set of the study has a "
            "trojan; make it [], or choose a data set with `trojan` in the catalogue."
        )
        return
    marked = [facts for stickers in classes.values() for facts in stickers.values()]
    for wanted in chosen["classes"] if isinstance(chosen["classes"], list) else ():
        if not any(wanted in facts for facts in marked):
            standing = ", ".join(dict.fromkeys(f"{name} ({label})" for label, name in marked))
            yield (
                f"{_WHERE}.classes names {as_yaml(wanted)}, for which no sticker stands; choose "
                f"among {standing}."
            )
    for dataset in datasets:
        channels, height, width = shape_of_images(study, dataset)
        if classes[dataset] and (height != width or channels not in (1, 3)):
            yield (
                f"{_WHERE}: images of {dataset} are {channels} x {height} x {width}, but pictures "
                "can be made for square ones of 1 or 3 channels; make classes []."
            )


# ----------------------------------------------------------------- names, pruners, families, levels

#: catalogue, key of an entry, table that the key's value must be in
_TABLES: tuple[tuple[str, str, Registry], ...] = (
    ("datasets", "source", SOURCES),
    ("models", "architecture", MODELS),
    ("pruners", "criterion", CRITERIA),
    ("explainers", "method", EXPLAINERS),
    ("metrics", "method", METRICS),
    ("agreement", "method", AGREEMENT),
    ("concepts", "method", CONCEPTS),
)
#: what the names of a list stand for, where that is not the list's own name in the singular
_KINDS = {"agreement": AGREEMENT.kind, "concepts": CONCEPTS.kind}
#: mistakes that concern how many of the survivors fall
_BUGS_OF_A_RATE = frozenset({"no_mask_in_training", "openlth_threshold"})
#: catalogue to the key of an entry that holds the parameters of what it names
_PARAMETERS = {
    "datasets": "options",
    "explainers": "parameters",
    "metrics": "parameters",
    "agreement": "parameters",
    "concepts": "parameters",
}


def catalogue_problems(catalogue: Mapping[str, Any]) -> Iterator[str]:
    """Entries of the catalogue that name nothing registered, or wrong parameters."""
    for group, key, table in _TABLES:
        for name, entry in catalogue.get(group, {}).items():
            where = f"catalogue.{group}.{name}"
            if entry[key] not in table:
                yield unknown_name(table.kind, f"{where}.{key}", entry[key], table.names())
            elif table.is_foreign(entry[key]):
                yield from _foreign_problems(table, where, entry, key)
            elif group in _PARAMETERS:
                part = _PARAMETERS[group]
                known = table.facts(entry[key]).get("parameters", {})
                yield from parameter_problems(f"{where}.{part}", entry.get(part, {}), known)
    for name, entry in catalogue["pruners"].items():
        for bug in entry.get("published_bugs", []):
            if bug not in PUBLISHED_BUGS:
                key = f"catalogue.pruners.{name}.published_bugs"
                yield unknown_name("published bug", key, bug, PUBLISHED_BUGS)


def _foreign_problems(
    table: Registry, where: str, entry: Mapping[str, Any], key: str
) -> Iterator[str]:
    """Classes of another library that are unknown, cannot be used, or lack a parameter."""
    method = entry[key]
    prefix, _, name = method.partition(".")
    facts = table.facts(method)
    refused = facts.get("foreign_refused", {})
    known = facts.get("foreign_facts", facts.get("foreign_classes"))
    if name in refused:
        yield f"{where}.{key}: {method} cannot be used: {refused[name]}."
    elif known is not None and name not in known:
        yield unknown_name(f"class of {prefix}", f"{where}.{key}", name, known)
    else:
        given = entry.get("parameters", {})
        for choice in facts.get("foreign_classes", {}).get(name, ())[1:]:
            if not any(given.get(one) is not None for one in choice.split(" or ")):
                yield f"{where}.parameters: {method} needs {choice}; give it."


def choice_problems(config: Mapping[str, Any]) -> Iterator[str]:
    """Chosen names that the catalogue does not have, or that are reserved."""
    for group in CHOICES:
        known = config["catalogue"].get(group, {})
        for name in config.get(group, []):
            if name not in known:
                yield unknown_name(_KINDS.get(group, group.removesuffix("s")), group, name, known)
    taken = {
        "study": [config["study"]],
        **{g: config[g] for g in ("datasets", "models", "pruners")},
    }
    for group, names in taken.items():
        for name in sorted(RESERVED.intersection(names)):
            yield f"{group}: '{name}' is a reserved name; choose another one."


def pruner_problems(config: Mapping[str, Any]) -> Iterator[str]:
    """Pruners whose keys do not go together, or not with the models."""
    for pruner in config["pruners"]:
        entry = config["catalogue"]["pruners"][pruner]
        where = f"catalogue.pruners.{pruner}"
        falling = entry.get("densities", [])
        if any(b >= a for a, b in pairwise(falling)):
            yield f"{where}.densities must fall from level to level, not {as_yaml(falling)}."
        bugs = entry.get("published_bugs", [])
        for bug in _BUGS_OF_A_RATE.intersection(bugs if "densities" in entry else []):
            yield f"{where}: {bug} belongs to a rate, not to densities; drop one."
        if _BUGS_OF_A_RATE.issubset(bugs):
            yield f"{where}: {' and '.join(sorted(_BUGS_OF_A_RATE))} exclude each other; drop one."
        if entry.get("one_shot") and "rate" in entry:
            yield f"{where}: one_shot prunes each level from dense and needs densities, not a rate."
        yield from _mistake_problems(where, entry)
        yield from _unretrained_problems(config, pruner)
        models = [n.model for n in Study(config).networks() if pruner in n.pruners]
        recipes = {
            model: entry.get("retraining") or config["catalogue"]["models"][model]["retraining"]
            for model in dict.fromkeys(models)
        }
        if "schedule_never_restarted" in bugs:
            for model, recipe in recipes.items():
                if recipe.get("schedule", {}).get("name") not in ("step", "multi_step"):
                    yield (
                        f"{where}: schedule_never_restarted needs a schedule that falls in steps, "
                        f"and retraining {model} has none; drop one of them."
                    )
        rewind = entry.get("rewind", "pretrained")
        if not rewind.startswith("epoch:"):
            continue
        for model, recipe in recipes.items():
            if int(rewind.partition(":")[2]) >= recipe["epochs"]:
                yield (
                    f"{where}.rewind is {rewind}, but retraining {model} takes only "
                    f"{recipe['epochs']} epochs; choose an earlier epoch."
                )
        if entry.get("retraining"):
            yield (
                f"{where}: rewind {rewind} resumes the model's own schedule and cannot be "
                "combined with a retraining recipe of the pruner; drop one of them."
            )


def _has_batch_norm(architecture: str, options: Mapping[str, Any]) -> bool:
    # Imports torch, which other configurations do not need.
    from sparsight.models.networks import has_batch_norm

    return has_batch_norm(architecture, options)


def _unretrained_problems(config: Mapping[str, Any], pruner: str) -> Iterator[str]:
    """What cannot be meant by pruning without retraining, on any of the models that are pruned."""
    entry = config["catalogue"]["pruners"][pruner]
    where, again = f"catalogue.pruners.{pruner}", "recalibrate_batch_norm" in entry
    rewind, bugs = entry.get("rewind", "pretrained"), entry.get("published_bugs", [])
    models = [n.model for n in Study(config).networks() if pruner in n.pruners]
    for model in dict.fromkeys(models):
        own = config["catalogue"]["models"][model]
        if again and not _has_batch_norm(own["architecture"], own.get("options", {})):
            yield (
                f"{where}.recalibrate_batch_norm: {own['architecture']} of {model} has no batch "
                "normalisation; drop the key, or the model."
            )
        if (entry.get("retraining") or own["retraining"])["epochs"]:
            continue
        what = f"{where}: retraining {model} takes 0 epochs"
        # Where the dense network is its own start, going back to that goes nowhere.
        if rewind != "none" and (rewind != "pretrained" or own["retraining"]["epochs"]):
            yield (
                f"{what}, so that rewind {rewind} throws away what the dense network has learnt; "
                "set rewind to none, or retrain."
            )
        if entry.get("rate") == 0 and not again:
            yield f"{what} and its rate is 0, so that it repeats the dense network; drop it."
        for bug in BUGS_OF_TRAINING.intersection(bugs):
            yield f"{what}, so that the mistake {bug} has no effect; drop it."


def _mistake_problems(where: str, entry: Mapping[str, Any]) -> Iterator[str]:
    """Mistakes of published code that would do nothing, or something else than they say."""
    bugs = entry.get("published_bugs", [])
    if "no_mask_in_training" in bugs and entry["criterion"] != "magnitude":
        yield (
            f"{where}: no_mask_in_training takes a percentile of magnitudes and no other "
            f"criterion; drop it, or set criterion to magnitude."
        )
    if {"stale_schedule", "schedule_never_restarted"}.issubset(bugs):
        yield f"{where}: stale_schedule and schedule_never_restarted exclude each other; drop one."
    if bugs and entry.get("rate") == 0:
        yield f"{where}: a rate of 0 prunes nothing, so published_bugs have no effect; drop them."
    if "aliased_biases" in bugs and (entry.get("rewind") == "none" or entry.get("one_shot")):
        yield (
            f"{where}: aliased_biases is about biases that rewinding from level to level should "
            "have put back; drop it where rewind is none or one_shot is true."
        )


def family_problems(config: Mapping[str, Any]) -> Iterator[str]:
    """Exceptions for families that do not run, and families that mix controls with others."""
    study = Study(config)
    families = study.families()
    for family, exceptions in config.get("families", {}).items():
        if family not in families:
            known = {e["family"] for e in config["catalogue"]["explainers"].values()}
            if family not in known:
                yield unknown_name("family", "families", family, sorted(known))
        elif not study.needs_network(families[family][0]) and "levels" in exceptions:
            yield f"families.{family}.levels: controls do not depend on the level; drop the key."
    for family, names in families.items():
        if family in RESERVED:
            yield f"explainers: the family name '{family}' is reserved; choose another one."
        free = [name for name in names if not study.needs_network(name)]
        if free and len(free) < len(names):
            yield (
                f"explainers: family {family} mixes controls ({', '.join(free)}) with "
                "explainers that need the network; give the controls a family of their own."
            )


def headline_problems(config: Mapping[str, Any]) -> Iterator[str]:
    """Headline metrics that do not run."""
    for name in config.get("figures", {}).get("headline_metrics", []):
        if name not in config["metrics"]:
            key = "figures.headline_metrics"
            yield unknown_name("metric that runs", key, name, config["metrics"])


def level_problems(config: Mapping[str, Any]) -> Iterator[str]:
    """Levels that no pruner has."""
    study = Study(config)
    last = max(study.level_count(pruner) for pruner in config["pruners"])
    wanted = {f"{key}.levels": part.get("levels") for key, part in explaining_parts(config)}
    wanted["figures.sheet_levels"] = config.get("figures", {}).get("sheet_levels")
    for key, levels in wanted.items():
        for level in levels if isinstance(levels, list) else ():
            if level > last:
                yield f"{key} holds level {level}, but the pruners' levels are 0 to {last}."
