"""From the files of a study to its configuration, or to all that is wrong with it."""

from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

from sparsight.concepts.registry import CONCEPTS
from sparsight.data.registry import SOURCES
from sparsight.explain.registry import EXPLAINERS
from sparsight.io.errors import InputError
from sparsight.metrics.registry import AGREEMENT, METRICS
from sparsight.models.registry import MODELS
from sparsight.pruning.registry import BUGS_OF_TRAINING, CRITERIA, PUBLISHED_BUGS
from sparsight.registration import Registry
from sparsight.study.bases import base_problems, with_bases
from sparsight.study.claims import claim_problems
from sparsight.study.combinations import (
    combination_problems,
    explaining_parts,
    network_problems,
    with_choices,
)
from sparsight.study.concept_problems import concept_problems
from sparsight.study.dataset_problems import dataset_problems
from sparsight.study.parameters import parameter_problems
from sparsight.study.paths import path_problems, with_paths
from sparsight.study.phrases import shown, unknown_name
from sparsight.study.plan import RESERVED, Study
from sparsight.study.problems import validated
from sparsight.study.sample_problems import sample_combination_problems
from sparsight.study.sample_pruning import sample_pruning_problems, with_pruned_samples
from sparsight.study.visualised import visualisation_problems
from sparsight.study.yaml_files import load_yaml

CHOICES = ("datasets", "models", "pruners", "explainers", "metrics", "agreement", "concepts")
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


def normalised(value: Any) -> Any:
    """A copy with sorted keys and whole floats as integers.

    Snakemake compares a rule's settings as text: 1.0 and 1, or another order of keys, would
    repeat jobs for nothing. An unquoted `target: true` becomes the name that it stands for.
    """
    if isinstance(value, Mapping):
        found = {key: normalised(value[key]) for key in sorted(value, key=str)}
        if found.get("target") is True:
            found["target"] = "true"
        return found
    if isinstance(value, list | tuple):
        return [normalised(item) for item in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def overlaid(below: Any, above: Any) -> Any:
    """A value with another one over it: mappings are merged, all else is replaced."""
    if not (isinstance(below, Mapping) and isinstance(above, Mapping)):
        return above
    return {**below, **{key: overlaid(below.get(key), above[key]) for key in above}}


def catalogue_and_study(root: Path, *, own: bool) -> dict[str, Any]:
    """What a study is laid over: the catalogue, and `config.yaml` where there is no other study.

    Parameters
    ----------
    root : folder of the project, with `catalogue/*.yaml` and `config.yaml`.
    own : whether a study of one's own follows.

    Raises
    ------
    InputError
        When a file cannot be read, or two files have the same part of the catalogue.
    """
    catalogue: dict[str, Any] = {}
    for path in sorted((root / "catalogue").glob("*.yaml")):
        for kind, entries in load_yaml(path).items():
            if kind in catalogue:
                raise InputError(f"{path} has {kind}, which another file has already; leave one.")
            catalogue[kind] = entries
    study = {} if own else load_yaml(root / "config.yaml")
    found: dict[str, Any] = overlaid({"catalogue": catalogue}, study)
    return found


def resolve(config: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """A configuration as the workflow uses it, and all its problems, an error message each.

    Parameters
    ----------
    config : normalised.

    Returns
    -------
    The configuration with defaults, and what follows from it: expanded paths, explainers on pruned
    copies. It may be used where there are no problems. Names are looked up only once keys and
    values are those of the models, and combinations once the names are known.
    """
    whole, found = validated(config)
    found = found or [*base_problems(whole), *path_problems(whole)]
    if found:
        return whole, found
    whole = with_paths(with_bases(normalised(whole)))
    found = [*_catalogue_problems(whole["catalogue"]), *_choice_problems(whole)]
    found = found or [*dataset_problems(whole)]
    if found:
        return whole, found
    whole = with_choices(whole)
    found = [*sample_pruning_problems(whole)]
    if found:
        return whole, found
    whole = normalised(with_pruned_samples(whole))
    found = [*network_problems(whole)] or [
        *_pruner_problems(whole),
        *_family_problems(whole),
        *combination_problems(whole),
        *sample_combination_problems(whole),
        *_headline_problems(whole),
        *_level_problems(whole),
        *concept_problems(whole),
        *visualisation_problems(whole),
    ]
    # Networks share problems.
    return whole, list(dict.fromkeys(found)) or [*claim_problems(whole)]


def _catalogue_problems(catalogue: Mapping[str, Any]) -> Iterator[str]:
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
        for choice in facts.get("foreign_needed", {}).get(name, ()):
            if not any(given.get(one) is not None for one in choice.split(" or ")):
                yield f"{where}.parameters: {method} needs {choice}; give it."


def _choice_problems(config: Mapping[str, Any]) -> Iterator[str]:
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


def _pruner_problems(config: Mapping[str, Any]) -> Iterator[str]:
    for pruner in config["pruners"]:
        entry = config["catalogue"]["pruners"][pruner]
        where = f"catalogue.pruners.{pruner}"
        falling = entry.get("densities", [])
        if any(b >= a for a, b in pairwise(falling)):
            yield f"{where}.densities must fall from level to level, not {shown(falling)}."
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


def _family_problems(config: Mapping[str, Any]) -> Iterator[str]:
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


def _headline_problems(config: Mapping[str, Any]) -> Iterator[str]:
    for name in config.get("figures", {}).get("headline_metrics", []):
        if name not in config["metrics"]:
            key = "figures.headline_metrics"
            yield unknown_name("metric that runs", key, name, config["metrics"])


def _level_problems(config: Mapping[str, Any]) -> Iterator[str]:
    study = Study(config)
    last = max(study.level_count(pruner) for pruner in config["pruners"])
    wanted = {f"{key}.levels": part.get("levels") for key, part in explaining_parts(config)}
    wanted["figures.sheet_levels"] = config.get("figures", {}).get("sheet_levels")
    for key, levels in wanted.items():
        for level in levels if isinstance(levels, list) else ():
            if level > last:
                yield f"{key} holds level {level}, but the pruners' levels are 0 to {last}."
