"""What does not go together in a configuration: an error message for each, with key and remedy."""

import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

from sparsight.analysis.claims.registry import ACCURACY_MEASURE, CLAIMS, COMMON_KEYS
from sparsight.concepts.registry import CONCEPTS, SAME
from sparsight.data.registry import SOURCES
from sparsight.explain.registry import EXPLAINERS
from sparsight.io.errors import InputError, as_yaml, in_words, join_names, near_miss, unknown_name
from sparsight.metrics.registry import AGREEMENT, METRICS
from sparsight.models.registry import MODELS
from sparsight.pruning.registry import (
    AT_INITIALISATION,
    BUGS_OF_TRAINING,
    CRITERIA,
    DYNAMIC,
    ITERATIVE,
    ONE_SHOT,
    PUBLISHED_BUGS,
    UNITS,
    UNSTRUCTURED,
    WHILE_TRAINING,
    group_length,
)
from sparsight.registration import Registry, parameter_problems
from sparsight.spade.registry import SOLVERS, derived_name
from sparsight.study.plan import (
    CHOICES,
    DENSE,
    EXPLAINED,
    RESERVED,
    WORDS,
    ConceptPlan,
    Network,
    Study,
    architecture_facts,
    available_images,
    class_names,
    concept_names,
    fill_path,
    has_concepts,
    has_masks,
    has_parts,
    layer_names,
    metric_facts,
    metric_range,
    prunes_for,
    searches,
    shape_of_images,
    sparsities_from,
    stickers_of,
    trace_request,
    unpruned_family,
    visualisation,
)
from sparsight.study.traced import Request, all_facts, explainer_key
from sparsight.training.options import OPTIMISERS, SCHEDULES, SELECTIONS

Config = Mapping[str, Any]


def _unknown(kind: str, key: str, names: Iterable[Any], known: Iterable[Any]) -> Iterator[str]:
    """An error message for each of the names that is not known."""
    known = list(known)
    return (unknown_name(kind, key, name, known) for name in names if name not in known)


# ------------------------------------------------------------------- catalogue and chosen names

#: catalogue, key of an entry, key of its parameters, table that the entry's name must be in
_TABLES: tuple[tuple[str, str, str, Registry], ...] = (
    ("datasets", "source", "options", SOURCES),
    ("models", "architecture", "options", MODELS),
    ("pruners", "criterion", "", CRITERIA),
    ("explainers", "method", "parameters", EXPLAINERS),
    ("metrics", "method", "parameters", METRICS),
    ("agreement", "method", "parameters", AGREEMENT),
    ("sample_pruners", "solver", "parameters", SOLVERS),
    ("concepts", "method", "parameters", CONCEPTS),
)
#: what the names of a list stand for, where that is not the list's own name in the singular
_KINDS = {"agreement": AGREEMENT.kind, "concepts": CONCEPTS.kind}


def catalogue_problems(catalogue: Mapping[str, Any]) -> Iterator[str]:
    """Entries of the catalogue that name nothing registered, or wrong parameters."""
    for group, key, part, table in _TABLES:
        for name, entry in catalogue[group].items():
            where = f"catalogue.{group}.{name}"
            if key not in entry:
                # Levels that another tool has made have no criterion.
                continue
            if entry[key] not in table:
                yield unknown_name(table.kind, f"{where}.{key}", entry[key], table.names())
            elif table is MODELS and table.is_foreign(entry[key]):
                # What its options may be is known once it is traced: `architecture_problems`.
                continue
            elif table.is_foreign(entry[key]):
                yield from _foreign_problems(table, where, entry, key)
            elif part:
                facts = table.facts(entry[key])
                known = facts.get("parameters", facts.get("option_defaults", {}))
                allowed = facts.get("allowed", facts.get("option_choices"))
                yield from parameter_problems(f"{where}.{part}", entry[part], known, allowed)
    for name, entry in catalogue["pruners"].items():
        key = f"catalogue.pruners.{name}.published_bugs"
        yield from _unknown("published bug", key, entry["published_bugs"], PUBLISHED_BUGS)
    pruners = catalogue["sample_pruners"]
    for name, entry in pruners.items():
        key, other = f"catalogue.sample_pruners.{name}.sparsities.as", entry["sparsities"].get("as")
        if other is not None and other not in pruners:
            yield unknown_name("sample pruner", key, other, pruners)
        elif other is not None and "as" in pruners[other]["sparsities"]:
            yield (
                f"{key} is {other}, which takes those of another one itself; name "
                f"{pruners[other]['sparsities']['as']} instead."
            )


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
        given = entry["parameters"]
        for choice in facts.get("foreign_classes", {}).get(name, ())[1:]:
            if not any(given.get(one) is not None for one in choice.split(" or ")):
                yield f"{where}.parameters: {method} needs {choice}; give it."


def choice_problems(config: Config) -> Iterator[str]:
    """Chosen names that the catalogue does not have, or that are reserved."""
    for group in CHOICES:
        kind = _KINDS.get(group, group.removesuffix("s"))
        yield from _unknown(kind, group, config.get(group, []), config["catalogue"][group])
    for group in ("study", "datasets", "models", "pruners"):
        names = [config["study"]] if group == "study" else config[group]
        for name in sorted(RESERVED.intersection(names)):
            yield f"{group}: '{name}' is a reserved name; choose another one."


def dataset_problems(config: Config) -> Iterator[str]:
    """One error message for each data set that is prepared and that its source cannot give.

    Whatever plans with a data set asks its source the same questions, and may take answers for
    granted after this.
    """
    study = Study(config)
    questions = [shape_of_images, available_images, has_masks, has_parts, has_concepts]
    for dataset in study.prepared_datasets():
        # another message says that a name is unknown
        if dataset not in study.catalogue["datasets"]:
            continue
        facts = SOURCES.facts(study.catalogue["datasets"][dataset]["source"])
        # Sources whose options do not decide the classes need not be imported for this.
        varying = [class_names] if "class_count" in facts.get("varying", ()) else []
        try:
            for question in (*questions, *varying):
                question(study, dataset)
        except InputError as error:
            yield f"catalogue.datasets.{dataset}.options: {error}."


def architecture_problems(config: Config) -> Iterator[str]:
    """One error message for each network of others that cannot be built or traced.

    Whatever plans with a network may take its facts for granted after this. All of them are traced
    at once, together with the explainers that they may have.

    Parameters
    ----------
    config : with sound data sets; explainers may be left out.
    """
    study = Study(config)
    requests: dict[tuple[str, str], Request] = {}
    for network in study.networks():
        known = network.dataset in config["datasets"] and network.model in config["models"]
        chosen = network.explainers or DEFAULT_EXPLAINERS
        names = [name for name in chosen if name in study.catalogue["explainers"]]
        # another message says that a name is unknown
        if known and (request := trace_request(study, network.dataset, network.model, names)):
            requests[network.dataset, network.model] = request
    try:
        answers = all_facts(list(requests.values()))
    except InputError as error:
        yield f"models: {error}."
        return
    for (dataset, model), facts in zip(requests, answers, strict=True):
        if isinstance(facts, str):
            yield f"catalogue.models.{model}.architecture: {facts} (for images of {dataset})."


# ------------------------------------------------------------------------------------------ choices

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


def with_pruners(config: Config) -> dict[str, Any]:
    """A copy whose default pruners leave out those that only retrain, where nothing is trained."""
    study = Study(config)
    models = (study.catalogue["models"][name] for name in config["models"])
    if any(entry["retraining"]["epochs"] for entry in models):
        return dict(config)
    return {**config, "pruners": study.pruning_pruners()}


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


# ----------------------------------------------------------------------------------------- networks


def network_problems(config: Config) -> Iterator[str]:
    """Whether `networks` names what runs, and all of it; nothing else can be asked before."""
    given = config["networks"]
    for index, network in enumerate(given):
        if "looks" in config and network.get("seeds"):
            yield (
                f"networks[{index}].seeds conflicts with seeds.look, by which all networks have "
                "the same seeds; drop one of them."
            )
            continue
        for key, value in network.items():
            kind, names = key.removesuffix("s"), value if isinstance(value, list) else [value]
            place = f"networks[{index}].{key}"
            yield from _unknown(f"{kind} that runs", place, names, config[f"{kind}s"])
    pairs = Counter((network["dataset"], network["model"]) for network in given)
    for (dataset, model), count in pairs.items():
        if count > 1:
            yield f"networks holds {model} on {dataset} {count} times; leave one."
    for key in ("dataset", "model"):
        for name in config[f"{key}s"] if given else []:
            if name not in {network[key] for network in given}:
                yield f"networks leaves out {name} of {key}s; add it there, or drop it here."


def combination_problems(config: Config) -> Iterator[str]:
    """Whatever cannot run together on a network or a data set."""
    study = Study(config)
    looking = {name for name in config["explainers"] if study.needs_network(name)}
    for network in study.networks():
        pair = network.dataset, network.model
        wanted = _unfitting_shape(study, network, shape_of_images(study, network.dataset))
        if wanted:
            yield (
                f"models: {network.model} takes images of {wanted}, but {network.dataset} has "
                f"{shape_of_images(study, network.dataset)} (channels, height, width); drop one of "
                "them."
            )
        else:
            yield from _start_problems(study, network)
            for name in network.explainers:
                yield from _explainer_problems(study, *pair, name)
        if looking and not looking.intersection(network.explainers):
            yield f"networks: no explainer looks at {network.model}; add one to its explainers."
        entry = study.catalogue["models"][network.model]
        where = f"catalogue.models.{network.model}"
        recipes = {f"{where}.{key}": entry[key] for key in ("training", "retraining")}
        for pruner in network.pruners:
            own = study.catalogue["pruners"][pruner]["retraining"]
            recipes[f"catalogue.pruners.{pruner}.retraining"] = own
        given = {key: recipe for key, recipe in recipes.items() if recipe}
        yield from _untrainable(study, network.dataset, given)
        for name in network.metrics:
            yield from _metric_problems(study, *pair, name)


def _unfitting_shape(study: Study, network: Network, shape: tuple[int, int, int]) -> str:
    """The images that a network takes; empty where it takes those of this shape."""
    facts = architecture_facts(study, network.dataset, network.model)
    channels, *sides = facts["input_shape"]
    smallest = facts.get("minimum_side", 1)
    if any(sides):
        return "" if (channels, *sides) == shape else f"({channels}, {sides[0]}, {sides[1]})"
    fits = channels == shape[0] and min(shape[1:]) >= smallest
    return "" if fits else f"({channels}, any from {smallest}, any from {smallest})"


def _start_problems(study: Study, network: Network) -> Iterator[str]:
    """What does not go together in the start of a network."""
    entry = study.catalogue["models"][network.model]
    where = f"catalogue.models.{network.model}"
    yield from _weights_problems(study, network, where)
    for key in ("training", "pretraining"):
        if entry[key] is not None and entry[key]["epochs"] == 0:
            yield f"{where}.{key} takes 0 epochs; give it some, or set it to null."
    # Other pretraining and ImageNet's weights leave the classifier as it was drawn.
    learns = entry["training"] or study.initial_weights(network.model) not in WORDS
    if not entry["retraining"]["epochs"] and not learns:
        yield (
            f"{where}.retraining takes 0 epochs, and nothing else trains {network.model} on "
            f"{network.dataset}; give it a training, or the weights of a trained network in a file."
        )
    other, key = entry["pretraining_dataset"], f"{where}.pretraining_dataset"
    if (other is None) != (entry["pretraining"] is None):
        yield f"{where} needs both pretraining_dataset and pretraining, or neither; add the other."
    elif other is None:
        return
    elif other not in study.catalogue["datasets"]:
        yield unknown_name("data set", key, other, study.catalogue["datasets"])
    elif other == network.dataset:
        yield f"{key} is the study's own {other}; give the recipe as training instead."
    else:
        shape, own = shape_of_images(study, other), shape_of_images(study, network.dataset)
        if shape != own:
            yield (
                f"{key}: {other} has images of {shape}, but {network.dataset} has {own} (channels, "
                "height, width); choose equal ones."
            )
        yield from _untrainable(study, other, {f"{where}.pretraining": entry["pretraining"]})


def _weights_problems(study: Study, network: Network, where: str) -> Iterator[str]:
    entry = study.catalogue["models"][network.model]
    given = study.initial_weights(network.model)
    if given not in WORDS and "/" not in given and "." not in given:
        yield (
            f"{where}.initial_weights is '{given}', but must be random, imagenet, "
            f"package:NAME/PATH or the path of a file{near_miss(given, WORDS) or '.'}"
        )
    if given != "imagenet":
        return
    facts = architecture_facts(study, network.dataset, network.model)
    if not facts["imagenet_weights"]:
        yield (
            f"{where}: there are no ImageNet weights of {entry['architecture']}; set "
            "initial_weights to random or to the path of a file."
        )
        return
    for key, value in entry["options"].items():
        # What the options of other libraries' networks do is not known here; the shapes tell.
        if "option_defaults" in facts and value != facts["option_defaults"][key]:
            yield (
                f"{where}: the ImageNet weights are for the option {key} of "
                f"{facts['option_defaults'][key]}, not {value}; drop the option, or start from "
                "other weights."
            )


def _untrainable(study: Study, dataset: str, recipes: Mapping[str, Any]) -> Iterator[str]:
    """What keeps recipes, by their keys, from training on a data set; those without epochs do."""
    splits: Iterable[str] = ("train", "test")
    if any(recipe["select"] != "last" for recipe in recipes.values()):
        # Only then is the source asked, which has to be imported for that.
        entry = study.catalogue["datasets"][dataset]
        try:
            splits = SOURCES.load(entry["source"]).split_names(entry["options"])
        except InputError as error:
            yield f"catalogue.datasets.{dataset}.options: {error}."
            return
    for key, recipe in recipes.items():
        if not recipe["epochs"]:
            continue
        for part, tables in (("optimiser", OPTIMISERS), ("schedule", SCHEDULES)):
            own = {name: value for name, value in recipe[part].items() if name != "name"}
            known = tables[recipe[part]["name"]]
            yield from parameter_problems(f"{key}.{part}", own, known)
        split = SELECTIONS[recipe["select"]]
        if split and split not in splits:
            yield (
                f"{key}.select is {recipe['select']}, which needs images in the split '{split}' of "
                f"{dataset}; set some aside, or take last."
            )


def _explainer_problems(study: Study, dataset: str, model: str, name: str) -> Iterator[str]:
    """Whether a network has the layers that an explainer names, and can be explained by it."""
    architecture = study.catalogue["models"][model]["architecture"]
    entry = study.catalogue["explainers"][name]
    given = entry["parameters"]
    named = {"layer": [given.get("layer")]}
    if EXPLAINERS.is_foreign(entry["method"]):
        several = given.get("layers")
        named["layers"] = several if isinstance(several, list) else [several]
    # An empty layer is the architecture's own.
    facts = architecture_facts(study, dataset, model, [name])
    layers = layer_names(facts)
    for parameter, chosen in named.items():
        key = f"catalogue.explainers.{name}.parameters.{parameter}"
        yield from (
            unknown_name(f"layer of {architecture}", key, layer, layers)
            for layer in chosen
            if layer not in (None, "", *layers)
        )
    own = EXPLAINERS.facts(entry["method"])
    why = facts.get("refused", {}).get(explainer_key(entry), "")
    if why:
        why = f"does not work on {model}: {why}"
    elif architecture in own.get("excluded_models", ()):
        why = f"does not work on {architecture}"
    # On networks of others, each explainer has been tried.
    elif own.get("needs_attention", False) and not (facts.get("attention") or "refused" in facts):
        why = f"needs a network with attention, and {architecture} has none"
    if why:
        remedy = f"drop one of them, or give {model} explainers of its own under networks"
        yield f"explainers: {name} {why}; {remedy}."


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


# ----------------------------------------------------------------------------------- images, levels


def explaining_parts(config: Config) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """`explaining`, and the exceptions from it that take effect, with their keys."""
    yield "explaining", config["explaining"]
    for name in config["explainers"]:
        yield f"catalogue.explainers.{name}", config["catalogue"]["explainers"][name]
    study = Study(config)
    families, made = study.families(), config["sample_pruning"]
    for family, exceptions in config["families"].items():
        if family in families:
            given = {key: exceptions.get(key) for key in ("images", "levels")}
            # The exceptions of families on pruned copies are made, unless they are given.
            if study.sample_pruner(family) and given == {key: made.get(key) for key in given}:
                yield "sample_pruning", exceptions
            else:
                yield f"families.{family}", exceptions


def range_problems(config: Config) -> Iterator[str]:
    """More images than a data set has, levels that no pruner has, metrics that do not run."""
    study = Study(config)
    parts = [*explaining_parts(config)]
    if config["concepts"]:
        parts.append(("concept_analysis", config["concept_analysis"]))
    for dataset, (key, part) in itertools.product(config["datasets"], parts):
        wanted, available = part.get("images", "all"), available_images(study, dataset)
        if wanted != "all" and wanted > available:
            yield (
                f"{key}.images is {wanted}, but {dataset} has {available} test images; "
                "give at most that, or all."
            )
    last = max(study.level_count(pruner) for pruner in config["pruners"])
    levels = {f"{key}.levels": part.get("levels") for key, part in parts}
    levels["figures.sheet_levels"] = config["figures"]["sheet_levels"]
    for key, chosen in levels.items():
        for level in chosen if isinstance(chosen, list) else ():
            if level > last:
                yield f"{key} holds level {level}, but the pruners' levels are 0 to {last}."
    named = config["figures"]["headline_metrics"]
    yield from _unknown("metric that runs", "figures.headline_metrics", named, config["metrics"])


def family_problems(config: Config) -> Iterator[str]:
    """Exceptions for families that do not run, and families that mix controls with others."""
    study = Study(config)
    families = study.families()
    known = {entry["family"] for entry in config["catalogue"]["explainers"].values()}
    for family, exceptions in config["families"].items():
        yield from _unknown("family", "families", [family], sorted(known))
        if family not in families:
            continue
        if not study.needs_network(families[family][0]) and "levels" in exceptions:
            yield f"families.{family}.levels: controls do not depend on the level; drop the key."
    entries = study.catalogue["explainers"]
    for family, names in families.items():
        group = {**config["explaining"], **config["families"].get(family, {})}
        first, *others = names
        for name, key in itertools.product(others, EXPLAINED):
            own, other = (entries[n].get(key, group.get(key)) for n in (first, name))
            if own != other:
                yield (
                    f"catalogue.explainers.{name}.{key}: {first} and {name} of family {family} run "
                    f"in one job, but theirs are {as_yaml(own)} and {as_yaml(other)}; give one of "
                    "them a family of its own."
                )
        for name in names:
            if "levels" in entries[name] and not study.needs_network(name):
                key = f"catalogue.explainers.{name}.levels"
                yield f"{key}: controls do not depend on the level; drop the key."
        if family in RESERVED:
            yield f"explainers: the family name '{family}' is reserved; choose another one."
        free = [name for name in names if not study.needs_network(name)]
        others = [name for name in names if name not in free]
        if free and others:
            yield (
                f"explainers: family {family} mixes controls ({', '.join(free)}) with "
                f"explainers that need the network ({', '.join(others)}); give the controls a "
                "family of their own."
            )


# ------------------------------------------------------------------------------------------ pruners

#: mistakes that concern how many of the survivors fall
_BUGS_OF_A_RATE = frozenset({"no_mask_in_training", "openlth_threshold"})
#: pairs of mistakes of which a pruner can have one
_EXCLUSIVE_BUGS = (_BUGS_OF_A_RATE, frozenset({"stale_schedule", "schedule_never_restarted"}))


def pruner_problems(config: Config) -> Iterator[str]:
    """Pruners whose keys do not go together, or not with the models."""
    study = Study(config)
    for pruner in config["pruners"]:
        entry = config["catalogue"]["pruners"][pruner]
        where = f"catalogue.pruners.{pruner}"
        if "given" in entry:
            yield from _given_problems(study, pruner)
            continue
        conflicts = [*_pruner_conflicts(entry)]
        networks: dict[str, Network] = {}
        for network in study.networks():
            if pruner in network.pruners:
                networks.setdefault(network.model, network)
        for network in networks.values():
            conflicts += _retraining_conflicts(study, entry, network)
            if entry.get("rate") != 0:
                conflicts += _unknown_weights(study, network)
        yield from (f"{where}{text}." for wrong, text in conflicts if wrong)


def _given_problems(study: Study, pruner: str) -> Iterator[str]:
    """What keeps files of another tool from being levels of networks."""
    given = study.catalogue["pruners"][pruner]["given"]
    where = f"catalogue.pruners.{pruner}.given"
    for network in (n for n in study.networks() if pruner in n.pruners):
        model = network.model
        if not study.is_untrained(model):
            yield (
                f"{where}: level 00 of {model} is trained here, so that these files are not pruned "
                f"from it; name their dense network as catalogue.models.{model}.initial_weights, "
                "and drop the recipes of that model."
            )
        elif len(network.seeds) > 1:
            paths = {
                where: [given] if isinstance(given, str) else given,
                f"catalogue.models.{model}.initial_weights": [study.initial_weights(model)],
            }
            same = [key for key, of in paths.items() if not all(map(_names_seed, of))]
            if same:
                yield (
                    f"{' and '.join(same)}: the same file stands for the networks of "
                    f"{len(network.seeds)} seeds; put {{seed}} into the path, or study one seed."
                )


def _names_seed(path: str) -> bool:
    return fill_path(path, seed=0) != path


def _pruner_conflicts(entry: Mapping[str, Any]) -> Iterator[tuple[bool, str]]:
    """Whether a pruner has each conflict of its keys, and the message about it."""
    bugs, falling = entry["published_bugs"], entry.get("densities", [])
    if any(b >= a for a, b in pairwise(falling)):
        yield True, f".densities must fall from level to level, not {as_yaml(falling)}"
    if "criterion" not in entry:
        rounded = entry["bits"]
        falls = all(b < a for a, b in pairwise(rounded))
        yield not falls, f".bits must fall from level to level, not {as_yaml(rounded)}"
        yield _resumes_with_a_recipe(entry)
        return
    for bug in sorted(_BUGS_OF_A_RATE):
        yield (
            bool(falling) and bug in bugs,
            f": {bug} belongs to a rate, not to densities; drop one",
        )
    for pair in _EXCLUSIVE_BUGS:
        yield pair.issubset(bugs), f": {' and '.join(sorted(pair))} exclude each other; drop one"
    schedule, structure = entry["schedule"], entry["structure"]
    yield (
        schedule != ITERATIVE and "rate" in entry,
        f": schedule {schedule} does not prune from level to level and needs densities, not a rate",
    )
    yield (
        bool(bugs) and schedule not in (ITERATIVE, ONE_SHOT),
        f": published_bugs are those of iterative and one_shot schedules, not of {schedule}; drop "
        "one",
    )
    yield (
        entry["rewind"] == "none" and schedule in (AT_INITIALISATION, *DYNAMIC),
        f": schedule {schedule} starts at an untrained network; set rewind to init, pretrained or "
        "epoch:k",
    )
    yield (
        schedule in DYNAMIC and entry["criterion"] != "magnitude",
        f": with schedule {schedule} the smallest weights fall; set criterion to magnitude",
    )
    yield (
        structure != UNSTRUCTURED and "rate" in entry,
        f": structure {structure} needs densities, not a rate",
    )
    yield (
        structure != UNSTRUCTURED and schedule in WHILE_TRAINING,
        f": structure {structure} and schedule {schedule} exclude each other; drop one",
    )
    yield (
        bool(group_length(structure)) and entry["scope"] != "global",
        f": with structure {structure} all groups keep the same number of weights, whatever the "
        "scope; drop scope",
    )
    yield (
        structure == UNITS and entry["scope"] not in ("global", "layer"),
        f": structure units and scope {entry['scope']} exclude each other; set scope to global "
        "(all units compete) or layer (each group loses the same share)",
    )
    yield (
        structure == UNITS and bool(bugs),
        ": published_bugs are about single weights, not about structure units; drop one",
    )
    facts = CRITERIA.facts(entry["criterion"]) if entry["criterion"] in CRITERIA else {}
    yield (
        "calibration" in entry and not facts.get("needs_data", True),
        f": criterion {entry['criterion']} looks at no images; drop calibration",
    )
    yield (
        facts.get("adapts_weights", False)
        and (entry["rewind"] != "none" or structure != UNSTRUCTURED or schedule in WHILE_TRAINING),
        f": criterion {entry['criterion']} adapts trained single weights; set rewind to none, "
        "structure to unstructured and schedule to one_shot or iterative",
    )
    yield (
        "no_mask_in_training" in bugs and entry["criterion"] != "magnitude",
        ": no_mask_in_training takes a percentile of magnitudes and no other criterion; drop it, "
        "or set criterion to magnitude",
    )
    yield (
        bool(bugs) and entry.get("rate") == 0,
        ": a rate of 0 prunes nothing, so published_bugs have no effect; drop them",
    )
    yield (
        "aliased_biases" in bugs and (entry["rewind"] == "none" or schedule == ONE_SHOT),
        ": aliased_biases is about biases that rewinding from level to level should have put back; "
        "drop it where rewind is none or schedule is one_shot",
    )
    yield (
        "no_mask_in_training" in bugs and "bits" in entry,
        ": no_mask_in_training leaves weights under no mask that bits could keep at zero; drop one",
    )
    yield _resumes_with_a_recipe(entry)


def _resumes_with_a_recipe(entry: Mapping[str, Any]) -> tuple[bool, str]:
    return (
        entry["rewind"].startswith("epoch:") and entry["retraining"] is not None,
        f": rewind {entry['rewind']} resumes the model's own schedule and cannot be combined with "
        "a retraining recipe of the pruner; drop one of them",
    )


#: share of all parameters that may be weights of unknown kinds, which are not pruned
_FEW_UNKNOWN = 0.01


def _unknown_weights(study: Study, network: Network) -> Iterator[tuple[bool, str]]:
    """Whether a pruner would pass over weights because nobody knows what they are."""
    facts = architecture_facts(study, network.dataset, network.model)
    unknown: dict[str, float] = facts.get("unknown_weights", {})
    share = sum(unknown.values())
    yield (
        share > _FEW_UNKNOWN,
        f": {network.model} holds {share:.1%} of its parameters in weights of other kinds than "
        f"convolutions, linear layers and attention ({join_names(unknown)}), which would not be "
        "pruned; choose another architecture, or build it from such layers",
    )


def _retraining_conflicts(
    study: Study, entry: Mapping[str, Any], network: Network
) -> Iterator[tuple[bool, str]]:
    """The same for conflicts of a pruner with a model."""
    model, own = network.model, study.catalogue["models"][network.model]
    bugs, rewind = entry["published_bugs"], entry["rewind"]
    recipe, again = entry["retraining"] or own["retraining"], "recalibrate_batch_norm" in entry
    yield (
        again and not _has_batch_norm(study, network),
        f".recalibrate_batch_norm: {own['architecture']} of {model} has no batch normalisation; "
        "drop the key, or the model",
    )
    yield (
        "schedule_never_restarted" in bugs
        and recipe["schedule"]["name"] not in ("step", "multi_step"),
        ": schedule_never_restarted needs a schedule that falls in steps, and retraining "
        f"{model} has none; drop one of them",
    )
    yield (
        "teacher" in entry and not recipe["epochs"],
        f".teacher: rounds of {model} are not retrained (retraining takes 0 epochs), so that there "
        "is nothing to teach; drop the key, or give the retraining epochs",
    )
    changing = entry["schedule"] in WHILE_TRAINING
    yield (
        changing and not recipe["epochs"],
        f": schedule {entry['schedule']} changes masks while a level trains, but retraining "
        f"{model} takes 0 epochs; give it epochs, or choose another schedule",
    )
    yield (
        changing and recipe["select"] != "last",
        # an earlier epoch's network has other masks, and as a rule another density
        f": schedule {entry['schedule']} ends with the last epoch's masks, but retraining {model} "
        f"selects {recipe['select']}; set select to last",
    )
    facts = architecture_facts(study, network.dataset, model)
    yield (
        bool(entry.get("distillation", {}).get("attention"))
        and (not facts["explain_layer"] or bool(facts.get("tokens"))),
        f".distillation.attention: {model} has no explain layer with feature maps; set it to 0",
    )
    epoch = rewind.partition(":")[2]
    yield (
        bool(epoch) and int(epoch) >= recipe["epochs"],
        f".rewind is {rewind}, but retraining {model} takes only {recipe['epochs']} epochs; choose "
        "an earlier epoch",
    )
    if recipe["epochs"]:
        return
    what = f": retraining {model} takes 0 epochs"
    yield (
        # Where the dense network is its own start, going back to that goes nowhere.
        rewind != "none" and (rewind != "pretrained" or bool(own["retraining"]["epochs"])),
        f"{what}, so that rewind {rewind} throws away what the dense network has learnt; set "
        "rewind to none, or retrain",
    )
    yield (
        entry.get("rate") == 0 and not again and "bits" not in entry,
        f"{what} and its rate is 0, so that it repeats the dense network; drop it",
    )
    for bug in sorted(BUGS_OF_TRAINING.intersection(bugs)):
        yield True, f"{what}, so that the mistake {bug} has no effect; drop it"


def _has_batch_norm(study: Study, network: Network) -> bool:
    entry = study.catalogue["models"][network.model]
    if MODELS.is_foreign(entry["architecture"]):
        return bool(architecture_facts(study, network.dataset, network.model)["batch_norm"])
    # Imports torch, which other configurations do not need.
    from sparsight.models.networks import has_batch_norm

    return has_batch_norm(entry["architecture"], entry["options"])


# ----------------------------------------------------------------------------------------- concepts

#: need of a concept method to what it is in words, and whether a data set has it
_NEEDS: dict[str, tuple[str, Callable[[Study, str], bool]]] = {
    "concept_labels": ("concept labels", has_concepts),
    "masks": ("masks", has_masks),
    "part_masks": ("masks of parts", has_parts),
}
#: a concept's measures lie in `{concept}_measures.parquet`
_TAKEN_END = "_measures"


def concept_problems(config: Config) -> Iterator[str]:
    """Whatever in `concepts`, `concept_bank` and `concept_analysis` cannot run.

    Parameters
    ----------
    config : sound by the models, with names that are in the catalogue.
    """
    study = Study(config)
    plan = ConceptPlan(study)
    for name in plan.names():
        if name.endswith(_TAKEN_END):
            yield (
                f"concepts: the name {name} ends in {_TAKEN_END}, which names a file of another "
                "concept method; choose another name."
            )
    unknown, known = False, config["catalogue"]["datasets"]
    for dataset, bank in config["concept_bank"].items():
        where = f"concept_bank.{dataset}"
        problems = [
            *_unknown("dataset that runs", "concept_bank", [dataset], config["datasets"]),
            *_unknown("dataset", where, [bank], known),
        ]
        if bank in RESERVED and bank in known:
            problems.append(f"{where}: '{bank}' is a reserved name; choose another one.")
        yield from problems
        unknown |= bool(problems)
    if unknown or not plan.names():
        return
    for network in study.networks():
        yield from _concept_network_problems(plan, network)
    levels = config["concept_analysis"]["levels"]
    if isinstance(levels, list) and 0 not in levels:
        yield (
            f"concept_analysis.levels is {in_words(levels)} without 0; add level 0, the dense "
            "network that all others are compared with."
        )


def _concept_network_problems(plan: ConceptPlan, network: Network) -> Iterator[str]:
    """What concept methods and the bank of a network's data set lack."""
    study, bank = plan.study, plan.study.concept_bank(network.dataset)
    shape, own = shape_of_images(study, bank), shape_of_images(study, network.dataset)
    if shape[0] != own[0] or _unfitting_shape(study, network, shape):
        yield (
            f"concept_bank.{network.dataset} is {bank}, whose images are {shape} (channels, "
            f"height, width), but {network.model} takes {own} here; give {bank} the same size."
        )
    facts = architecture_facts(study, network.dataset, network.model)
    if plan.names(network) and not facts["feature_cut"]:
        yield (
            f"concepts: {join_names(plan.names(network))} need a network that can be cut in two, "
            f"and {network.model} cannot: {facts['uncut']}; give it no concepts under networks."
        )
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


# -------------------------------------------------------------------------- sample-targeted pruning


def sample_name_problems(config: Config) -> Iterator[str]:
    """Names in `sample_pruning` that do not run, or that nothing can be pruned for."""
    chosen, where = config["sample_pruning"], "sample_pruning.explainers"
    known = config["catalogue"]["sample_pruners"]
    yield from _unknown("sample pruner", "sample_pruning.pruners", chosen["pruners"], known)
    named = chosen["explainers"] if chosen["explainers"] != "all" else []
    yield from _unknown("explainer that runs", where, named, config["explainers"])
    for name in named:
        if name in config["explainers"] and not prunes_for(config, name):
            yield (
                f"{where}: {name} is a control or looks at no network, so that there is nothing to "
                "prune for it; drop it there."
            )


def sample_combination_problems(config: Config) -> Iterator[str]:
    """What cannot run, or what the table of sample pruning could not be made of.

    Parameters
    ----------
    config : as `with_pruned_samples` leaves it, with sound data sets.
    """
    pruners = config["sample_pruning"]["pruners"]
    if not pruners:
        return
    study = Study(config)
    if not study.sample_families():
        yield (
            "sample_pruning.explainers: none of them looks at the network without being a "
            "control, so that nothing would be pruned for samples; add one, or name no pruners."
        )
    for family in study.sample_families():
        own = unpruned_family(study.sample_pruner(family), family)
        lacking = {
            level
            for pruner in config["pruners"]
            for level in range(study.level_count(pruner) + 1)
            for owner in (pruner if level else DENSE,)
            if study.explains(family, owner, level) and not study.explains(own, owner, level)
        }
        if lacking:
            yield (
                f"sample_pruning.levels: {own} is explained on the network itself at other levels "
                f"({join_names(sorted(lacking))} missing), so that copies have nothing to be "
                f"compared with there; give families.{own} these levels too."
            )
    for name in dict.fromkeys(sparsities_from(study.catalogue, pruner) for pruner in pruners):
        if searches(study.catalogue["sample_pruners"][name]):
            yield from _search_problems(study, name)


def _search_problems(study: Study, sample_pruner: str) -> Iterator[str]:
    """Data sets that lack the split or the masks that a search needs."""
    where = f"catalogue.sample_pruners.{sample_pruner}.sparsities.search"
    search = study.catalogue["sample_pruners"][sample_pruner]["sparsities"]["search"]
    split = search["split"]
    for dataset in study.config["datasets"]:
        entry = study.catalogue["datasets"][dataset]
        # Only for another split is the source asked, which has to be imported for that.
        if split != "train" and split not in SOURCES.load(entry["source"]).split_names(
            entry["options"]
        ):
            yield f"{where}.split is {split}, which {dataset} does not have; take train."
        if search["criterion"] == "ground_truth" and not has_masks(study, dataset):
            yield (
                f"{where}.criterion is ground_truth, which needs masks, but {dataset} has none; "
                "take without_truth."
            )


def visualisation_problems(config: Config) -> Iterator[str]:
    """What is wrong with `sample_pruning.visualised`; data sets must be sound."""
    chosen, where = visualisation(config), "sample_pruning.visualised"
    if not chosen:
        return
    study = Study(config)
    known = study.catalogue["sample_pruners"]
    yield from _unknown("sample pruner", f"{where}.sample_pruner", [chosen["sample_pruner"]], known)
    datasets = list(dict.fromkeys(network.dataset for network in study.networks()))
    classes = {name: stickers_of(study, name) for name in datasets}
    if not any(classes.values()):
        yield (
            f"{where}.classes is {as_yaml(chosen['classes'])}, but no data set of the study has a "
            "trojan; make it [], or choose a data set with `trojan` in the catalogue."
        )
        return
    marked = [facts for stickers in classes.values() for facts in stickers.values()]
    for wanted in chosen["classes"] if isinstance(chosen["classes"], list) else ():
        if not any(wanted in facts for facts in marked):
            standing = ", ".join(dict.fromkeys(f"{name} ({label})" for label, name in marked))
            yield (
                f"{where}.classes names {as_yaml(wanted)}, for which no sticker stands; choose "
                f"among {standing}."
            )
    for dataset in datasets:
        channels, height, width = shape_of_images(study, dataset)
        if classes[dataset] and (height != width or channels not in (1, 3)):
            yield (
                f"{where}: images of {dataset} are {channels} x {height} x {width}, but pictures "
                "can be made for square ones of 1 or 3 channels; make classes []."
            )


# ------------------------------------------------------------------------------------------- claims

#: keys of a claim that name an entry of the study's list of that name
_CHOSEN = ("dataset", "model", "pruner", "explainer", "metric")
#: common keys of claims that say nothing of concepts, to the one value that does no harm
_IDLE = {"explainer": None, "metric": None, "condition": "clean", "subset": "all"}
#: what a key of a claim about concepts can name, and the fact that lists what there is
_FACTS = {"concept measure": "measures", "concept comparison": "comparisons"}


def claim_problems(config: Config) -> Iterator[str]:
    """Everything in `claims` that cannot be decided as it stands.

    Parameters
    ----------
    config : sound in all its other choices.
    """
    claims = config["claims"]
    for name, count in Counter(claim["name"] for claim in claims).items():
        if count > 1:
            yield f"claims: {count} claims have the name '{name}'; give each its own."
    yield from _order_problems(claims)
    study = Study(config)
    for index, claim in enumerate(claims):
        where = f"claims[{index}]"
        if claim["test"] not in CLAIMS:
            yield unknown_name("claim test", f"{where}.test", claim["test"], CLAIMS.names())
            continue
        problems = [*_common_problems(study, where, claim)]
        yield from _size_problems(where, claim)
        problems = problems or [*_own_problems(study, where, claim)]
        yield from problems or _published_problems(study, where, claim)


def _order_problems(claims: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Claims whose order is none: what comes after what, see `models.Claim`."""
    tiers = {claim["name"]: claim.get("tier", "exploratory") for claim in claims}
    parents = {claim["name"]: claim.get("after") for claim in claims}
    for index, claim in enumerate(claims):
        where, name = f"claims[{index}]", claim["name"]
        tier, parent = tiers[name], parents[name]
        if parent is None:
            if tier == "secondary":
                yield (
                    f"{where}: '{name}' is secondary, but comes after no claim; name a primary or "
                    "secondary one as after."
                )
        elif parent not in tiers:
            yield unknown_name("claim", f"{where}.after", parent, tiers)
        elif tier == "exploratory":
            yield (
                f"{where}: '{name}' comes after another claim, but has no tier; make it primary or "
                "secondary, or drop after."
            )
        elif tiers[parent] != "primary" and tiers[parent] != tier:
            allowed = "a primary one" if tier == "primary" else "a primary or secondary one"
            yield (
                f"{where}.after is {parent}, which is {tiers[parent]}, but '{name}' is {tier}; "
                f"name {allowed}."
            )
    yield from _circles(parents)
    primaries = [name for name, tier in tiers.items() if tier == "primary"]
    for parent, count in Counter(parents[name] for name in primaries).items():
        if count > 1:
            alike = [f"'{name}'" for name in primaries if parents[name] == parent]
            place = f"come after '{parent}'" if parent else "come after no other"
            yield (
                f"claims: the primary claims {join_names(alike)} all {place}, but primary claims "
                "have one order; let each come after another one."
            )


def _circles(parents: Mapping[str, str | None]) -> Iterator[str]:
    """An error message for each circle of claims that come after each other."""
    seen: set[str] = set()
    for start in parents:
        path: list[str] = []
        name: str | None = start
        while name is not None and name in parents and name not in seen:
            seen.add(name)
            path.append(name)
            name = parents[name]
        if name is not None and name in path:
            circle = join_names(f"'{one}'" for one in path[path.index(name) :])
            yield f"claims: after leads in a circle through {circle}; drop it from one of them."


def _size_problems(where: str, claim: Mapping[str, Any]) -> Iterator[str]:
    """Claims without a size to decide them by."""
    name = claim["name"]
    if "smallest" not in claim and "published" not in claim:
        yield (
            f"{where}: '{name}' has neither a published value nor a smallest effect that matters, "
            "so that no result could refute it; give published, or smallest and because."
        )
    if "smallest" in claim and "because" not in claim:
        yield f"{where}: '{name}' does not say why its smallest effect matters; add because."
    if "because" in claim and "smallest" not in claim:
        yield f"{where}: '{name}' has because, which explains smallest; add that, or drop because."


def _published_problems(study: Study, where: str, claim: Mapping[str, Any]) -> Iterator[str]:
    """A published value that the claim's quantity cannot have."""
    found = _range_of_published(study, claim)
    if "published" in claim and found and not found[0] <= claim["published"] <= found[1]:
        yield (
            f"{where}.published is {in_words(claim['published'])}, but the quantity of "
            f"'{claim['name']}' lies between {found[0]:g} and {found[1]:g}; give the published "
            "value in its unit."
        )


def _range_of_published(study: Study, claim: Mapping[str, Any]) -> tuple[float, float] | None:
    """Least and largest value of a claim's quantity; None where it has no bounds."""
    facts = CLAIMS.facts(claim["test"])
    scale, settings = facts["scale"], {**facts["parameters"], **claim}
    if scale == "level":
        return 0.0, float(study.level_count(claim["pruner"]))
    bounds = {"correlation": (-1.0, 1.0), "share": (0.0, 1.0), "above chance": (-0.5, 0.5)}
    found = bounds.get(scale)
    measure = settings.get("of", claim.get("metric"))
    if scale in ("measure", "difference") and measure == ACCURACY_MEASURE:
        found = 0.0, 1.0
    elif scale in ("measure", "difference") and measure in study.config["metrics"]:
        found = metric_range(study.catalogue["metrics"][measure]["method"])
    if found is None:
        return None
    differences = (
        scale == "difference" or settings.get("against") == "dense",
        bool(settings.get("minus_control") or settings.get("minus_pruner")),
    )
    for _ in range(sum(differences)):
        found = found[0] - found[1], found[1] - found[0]
    return found


def _pair(study: Study, claim: Mapping[str, Any]) -> tuple[str, str]:
    """Data set and model that a claim is about."""
    first = study.networks()[0]
    return claim.get("dataset", first.dataset), claim.get("model", first.model)


def _network(study: Study, claim: Mapping[str, Any]) -> Network | None:
    """The network that a claim is about; None where there is no such one."""
    pair = _pair(study, claim)
    return next((n for n in study.networks() if (n.dataset, n.model) == pair), None)


def _common_problems(study: Study, where: str, claim: Mapping[str, Any]) -> Iterator[str]:
    """Names that do not run or not together, and missing keys."""
    config, facts = study.config, CLAIMS.facts(claim["test"])
    for key in _CHOSEN:
        if key in claim:
            # agreement with the dense parent is a metric too
            known = [*config[f"{key}s"], *(config["agreement"] if key == "metric" else ())]
            yield from _unknown(f"{key} that runs", f"{where}.{key}", [claim[key]], known)
    dataset, model = _pair(study, claim)
    if "condition" in claim and dataset in config["datasets"]:
        conditions = study.conditions(dataset)
        kind = "condition that runs"
        yield from _unknown(kind, f"{where}.condition", [claim["condition"]], conditions)
    pools = "claims" in facts["refers"].values()
    for key in (*(() if pools else ("pruner",)), *facts["needs"]):
        if key not in claim:
            yield f"'{key}' is missing at {where}; the test {claim['test']} needs it."
    if facts["of_agreement"]:
        yield from _agreement_problems(study, where, claim)
    if "concept" in facts["refers"].values():
        for key, harmless in _IDLE.items():
            if key in claim and claim[key] != harmless:
                what = f"{where}.{key} says nothing of concepts"
                yield f"{what}, of which {claim['test']} is; drop it."
    network = _network(study, claim)
    for key in ("pruner", "explainer", "metric") if network else ():
        if claim.get(key) in config[f"{key}s"] and claim[key] not in getattr(network, f"{key}s"):
            yield (
                f"{where}.{key} is {claim[key]}, which does not run with {model} on "
                f"{dataset}; name another, or give the claim another dataset and model."
            )
    if not network and dataset in config["datasets"] and model in config["models"]:
        yield f"{where} is about {model} on {dataset}, which networks leaves out; name another."
    if claim.get("pruner") in study.retraining_pruners():
        yield f"{where}.pruner is {claim['pruner']}, which prunes nothing; name one that prunes."


def _agreement_problems(study: Study, where: str, claim: Mapping[str, Any]) -> Iterator[str]:
    """What keeps a claim from being about how explanations agree with those of dense networks."""
    known, test = study.config["agreement"], claim["test"]
    if claim.get("metric") in study.config["metrics"]:
        yield (
            f"{where}.metric is {claim['metric']}, but {test} needs a metric of agreement"
            + (f": {join_names(known)}." if known else "; add one to agreement.")
        )
    if claim.get("subset", "all") != "all":
        yield f"{where}.subset says nothing of {test}, which is about all images; drop it."
    explainer = claim.get("explainer")
    if explainer in study.config["explainers"]:
        family = study.catalogue["explainers"][explainer]["family"]
        if known and family not in study.agreement_families():
            yield (
                f"{where}.explainer is {explainer}, whose agreement is not measured: that takes a "
                f"network, one fixed class (families.{family}.target true or dense_predicted) and "
                "explanations of level 0; name another."
            )


def _own_problems(study: Study, where: str, claim: Mapping[str, Any]) -> Iterator[str]:
    """Keys of the claim's test."""
    facts = CLAIMS.facts(claim["test"])
    own = {key: value for key, value in claim.items() if key not in COMMON_KEYS}
    wrong = [*parameter_problems(where, own, facts["parameters"], facts["allowed"])]
    yield from wrong
    for key, kind in facts["refers"].items() if not wrong else ():
        value = own.get(key, facts["parameters"][key])
        # an empty default names nothing
        if key in own or value not in ("", []):
            yield from _reference_problems(study, f"{where}.{key}", kind, value, claim)


def _reference_problems(
    study: Study, key: str, kind: str, value: Any, claim: Mapping[str, Any]
) -> Iterator[str]:
    """What is wrong with a value that names something of this kind (`ClaimTest.refers`)."""
    config, network, plan = study.config, _network(study, claim), ConceptPlan(study)
    names = {
        "explainer": config["explainers"],
        "explainer of the same images": config["explainers"],
        "metric": config["metrics"],
        "measure": [ACCURACY_MEASURE, *config["metrics"]],
        "any measure": [ACCURACY_MEASURE, *config["metrics"], *config["agreement"]],
        "metric or agreement": [*config["metrics"], *config["agreement"]],
        "sample pruner": config["sample_pruning"]["pruners"],
        "pruner": config["pruners"],
        "pruner that prunes": study.pruning_pruners(network),
        "retraining pruner": study.retraining_pruners(network),
        "concept": plan.names(network),
    }
    if kind in names:
        words = {
            "explainer of the same images": "explainer that runs",
            "retraining pruner": "pruner that only retrains and runs",
            "pruner that prunes": "pruner that prunes and runs",
        }
        unknown = [*_unknown(words.get(kind, f"{kind} that runs"), key, [value], names[kind])]
        yield from unknown
        if not unknown and kind == "explainer":
            yield from _idle_control(study, key, value, claim)
        elif not unknown and kind == "explainer of the same images":
            yield from _other_images(study, key, value, claim)
        elif not unknown and kind == "measure" and value != ACCURACY_MEASURE:
            yield from _lossless_measure(study, key, value, claim)
        elif not unknown and kind == "any measure" and value != ACCURACY_MEASURE:
            yield from _without_explainer(key, value, claim)
    elif kind == "pruners that prune":
        yield from _list_problems(study, key, value, claim)
    elif kind == "loss of accuracy":
        yield from _equal_accuracy_problems(study, key.rpartition(".")[0], claim)
    elif kind == "explainers on copies":
        yield from _copies_problems(study, key, value, claim)
    elif kind == "claims":
        yield from _pooled_problems(study, key, value, claim)
    elif "level" in kind:
        yield from _level_problems(study, key, kind, value, claim)
    elif kind == "whole number":
        if isinstance(value, float) and not value.is_integer():
            yield f"{key} is {in_words(value)}, but must be a whole number."
    elif kind == "class of concepts":
        # Classes may be known from the original files only; an empty name is all of them.
        known = class_names(study, network.dataset) if network else []
        if network and known and value != "":
            yield from _unknown(f"class of {network.dataset}", key, [value], known)
    elif claim["concept"] in names["concept"]:
        yield from _concept_name_problems(plan, key, kind, value, claim)


def _concept_name_problems(
    plan: ConceptPlan, key: str, kind: str, value: Any, claim: Mapping[str, Any]
) -> Iterator[str]:
    """A measure that the concept method does not give, or a concept that it cannot name."""
    facts, network = plan.facts(claim["concept"]), _network(plan.study, claim)
    if kind in _FACTS:
        words = f"{kind.removeprefix('concept ')} of {claim['concept']}"
        yield from _unknown(words, key, [value], facts[_FACTS[kind]])
    elif not facts["shared_names"]:
        yield (
            f"{key} is {in_words(value)}, but {claim['concept']} only numbers its concepts, "
            "network by network, so that a number means another one in each; name a method that "
            "has names."
        )
    elif "concept_labels" in facts["needs"] and network and value != "":
        bank = plan.study.concept_bank(network.dataset)
        # Empty where only the original files tell the names.
        if known := concept_names(plan.study, bank):
            yield from _unknown(f"concept of {bank}", key, str(value).split(SAME), known)


def _idle_control(study: Study, key: str, control: str, claim: Mapping[str, Any]) -> Iterator[str]:
    """A control whose score is that of one and the same map by one and the same measure."""
    entry = study.catalogue["metrics"].get(claim.get("metric"))
    judged = entry is not None and "model" in metric_facts(entry["method"])["needs"]
    if control in study.controls() and not study.needs_network(control) and not judged:
        yield (
            f"{key}: {control} never looks at the network, so that its score is the same at "
            "every level and correlates with nothing; name a control that needs the network."
        )


def _other_images(study: Study, key: str, other: str, claim: Mapping[str, Any]) -> Iterator[str]:
    """Whether two explainers that are compared explain the same images and class."""
    own = claim["explainer"]
    families = [study.catalogue["explainers"][name]["family"] for name in (own, other)]
    first, second = (study.explaining(family) for family in families)
    for what in ("images", "target"):
        if first[what] != second[what]:
            yield (
                f"{key}: {own} and {other} cannot be paired, since their {what} are {first[what]} "
                f"and {second[what]}; give families.{families[0]} and families.{families[1]} the "
                "same."
            )
            return


def _lossless_measure(
    study: Study, key: str, metric: str, claim: Mapping[str, Any]
) -> Iterator[str]:
    """A metric of no explainer, or one of which more is not better."""
    yield from _without_explainer(key, metric, claim)
    if metric_facts(study.catalogue["metrics"][metric]["method"])["direction"] != "higher":
        what = f"{key} is {metric}, of which more is not better"
        yield f"{what}: it has no loss; name another metric."


def _without_explainer(key: str, metric: str, claim: Mapping[str, Any]) -> Iterator[str]:
    """A metric of no explainer."""
    if "explainer" not in claim:
        yield f"{key} is the metric {metric}; say of which explainer."


def _copies_problems(study: Study, key: str, names: Any, claim: Mapping[str, Any]) -> Iterator[str]:
    """Explainers that do not run, or not on the copies that a claim is about."""
    if not isinstance(names, list) or not names:
        yield f"{key} is {as_yaml(names)}, but must be a list of explainers."
        return
    pruners = claim.get("sample_pruner"), claim.get("other_sample_pruner")
    wanted = [*names, *(derived_name(p, name) for p in pruners if p for name in names)]
    yield from _unknown("explainer that runs", key, wanted, study.config["explainers"])


def _list_problems(study: Study, key: str, names: Any, claim: Mapping[str, Any]) -> Iterator[str]:
    """Pruners that are no list, come twice, prune nothing or do not run."""
    texts = isinstance(names, list) and all(isinstance(name, str) for name in names)
    if not texts or len(names) != len(set(names)):
        yield f"{key} is {as_yaml(names)}, but must be a list of pruners, each once."
        return
    known = study.pruning_pruners(_network(study, claim))
    yield from _unknown("pruner that prunes and runs", key, names, known)


def _equal_accuracy_problems(study: Study, where: str, claim: Mapping[str, Any]) -> Iterator[str]:
    """Sides that cannot be compared at equal accuracy; unknown names are said elsewhere."""
    own = claim.get("pruners") or [claim["pruner"]]
    others = claim.get("other_pruners") or [claim.get("other_pruner", "")]
    if bool(claim.get("other_pruner")) == bool(claim.get("other_pruners")):
        yield f"{where} needs either other_pruner or other_pruners; give one of them."
        return
    if claim["pruner"] not in own:
        yield f"{where}.pruners leaves out the claim's own pruner {claim['pruner']}; add it."
    if both := [name for name in own if name in others]:
        yield f"{where} compares {join_names(both)} with itself; name it on one side only."
    family = study.catalogue["explainers"][claim["explainer"]]["family"]
    if claim["of"] in study.config["agreement"] and family not in study.agreement_families():
        yield (
            f"{where}.of is the agreement {claim['of']}, which is not measured for "
            f"{claim['explainer']}; name an explainer of one fixed class, of dense networks too."
        )
    for pruner in (*own, *others):
        if pruner in study.pruning_pruners() and len(study.curve_levels(family, pruner)) < 2:
            yield (
                f"{where}: {claim['explainer']} is explained at fewer than two pruned levels of "
                f"{pruner}, between which nothing can be read off; add levels."
            )


def _pooled_problems(study: Study, key: str, names: Any, claim: Mapping[str, Any]) -> Iterator[str]:
    """Claims that cannot be pooled: unknown or of other tests, or about one data set and model."""
    texts = isinstance(names, list) and all(isinstance(name, str) for name in names)
    if not texts or not 2 <= len(names) == len(set(names)):
        yield f"{key} is {as_yaml(names)}, but must be a list of two claims or more, each once."
        return
    others = {other["name"]: other for other in study.config["claims"]}
    others.pop(claim["name"], None)
    unknown = [*_unknown("claim", key, names, others)]
    yield from unknown
    if unknown:
        return
    if len(tests := {others[name]["test"] for name in names}) > 1 or "pooled" in tests:
        yield f"{key} names claims of the tests {join_names(sorted(tests))}; pool those of one."
    for test in sorted(tests & {"rise", "concept_in_top"}):
        yield f"{key} names claims of the test {test}, which gives no estimate to pool."
    if len({_pair(study, others[name]) for name in names}) < len(names):
        yield f"{key} names claims about one data set and model, whose networks are the same."


def _level_problems(
    study: Study, key: str, kind: str, value: Any, claim: Mapping[str, Any]
) -> Iterator[str]:
    """Levels that a pruner does not have, or at which nothing is explained or looked for."""
    levels = [value, value] if kind == "level" else value
    whole = isinstance(levels, list) and [type(level) for level in levels] == [int, int]
    if kind != "level" and not (whole and levels[0] <= levels[1]):
        yield f"{key} is {as_yaml(value)}, but must be a list of two levels, the lower one first."
        return
    of_other = kind == "range of levels of the other pruner"
    pruner = str(claim.get("other_pruner") if of_other else claim["pruner"])
    if pruner not in study.config["pruners"]:
        # said elsewhere
        return
    of_concepts = kind == "levels of concepts"
    least, last = int(of_concepts), study.level_count(pruner)
    if kind == "range of levels before the last":
        # dense explanations have not moved, and the last level has no next one
        least, last = 1, last - 1
    if last < least:
        yield f"{key}: {pruner} has one level, which no other follows; name another pruner."
        return
    if not (whole and least <= levels[0] and levels[1] <= last):
        known = f"{'pruned ' if of_concepts else ''}levels {least} to {last}"
        yield f"{key} is {as_yaml(value)}, but {pruner} has the {known}."
        return
    if kind.startswith("range of levels") and levels[1] < 1:
        yield f"{key} is {as_yaml(value)}, dense against itself; end with level 1 or later."
        return
    explainer = claim.get("explainer")
    family = study.catalogue["explainers"][explainer]["family"] if explainer else ""
    for level in range(levels[0], levels[1] + 1):
        if of_concepts and not study.finds_concepts(pruner, level):
            yield (
                f"{key} takes in level {level}, in which no concepts are looked for; choose other "
                "levels, or add it to concept_analysis.levels."
            )
            return
        if family and not of_concepts and not study.explains(family, pruner, level):
            yield (
                f"{key} takes in level {level}, at which {explainer} is not explained; choose "
                f"another level, or add it to families.{family}.levels."
            )
            break
    other = str(claim.get("other_pruner"))
    own_levels = of_other or claim.get("other_levels")
    if not own_levels and other in study.config["pruners"] and levels[1] > study.level_count(other):
        last = study.level_count(other)
        yield f"{key} is {as_yaml(value)}, but {other} has the levels 0 to {last}."
