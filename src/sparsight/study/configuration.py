"""From the files of a study to its configuration, or to all that is wrong with it."""

import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sparsight.data.registry import SOURCES
from sparsight.data.scans import FOLDER as SCANS
from sparsight.io.errors import InputError, unknown_name
from sparsight.io.files import expand_path
from sparsight.models.registry import factory_of
from sparsight.registration import Item
from sparsight.study.checks import (
    architecture_problems,
    catalogue_problems,
    choice_problems,
    claim_problems,
    combination_problems,
    concept_problems,
    dataset_problems,
    family_problems,
    network_problems,
    pruner_problems,
    range_problems,
    sample_combination_problems,
    sample_name_problems,
    visualisation_problems,
    with_choices,
    with_pruners,
)
from sparsight.study.models import validated
from sparsight.study.plan import TROJANED, WORDS, fill_path, with_pruned_samples
from sparsight.study.quick import is_quick, quick_study
from sparsight.study.yaml_files import load_yaml

# ---------------------------------------------------------------------------- data sets with a base

#: what a data set takes from its base, with the values of one that gives none
_SHARED: dict[str, Any] = {"noise": {"maximum": 0, "seed": 0}, "subset_seed": 0}


def with_bases(config: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """A copy in which data sets with `base` and `trojan` have `source` and `options`, as all have.

    Noise and subset are the base's where the data set gives none. Data sets whose base is none that
    one can be made from stay as they are, and have an error message each.
    """
    known = config["catalogue"]["datasets"]
    datasets, problems = dict(known), []
    for name, entry in known.items():
        if "base" not in entry:
            datasets[name] = {**_SHARED, **entry}
            continue
        base, key = known.get(entry["base"]), f"catalogue.datasets.{name}.base"
        if base is None:
            problems.append(unknown_name("data set", key, entry["base"], known))
        elif "base" in base or base["source"] == TROJANED:
            text = f"{key}: {entry['base']} has a trojan itself; name a data set without one."
            problems.append(text)
        else:
            images = {"options": base.get("options", {}), "source": base["source"]}
            datasets[name] = {
                **{key: base.get(key, value) for key, value in _SHARED.items()},
                **{key: value for key, value in entry.items() if key not in ("base", "trojan")},
                "options": {"base": images, "trojan": entry["trojan"]},
                "source": TROJANED,
            }
    return {**config, "catalogue": {**config["catalogue"], "datasets": datasets}}, problems


def source_and_options(entry: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Whose original files a data set is made from, and with which options: its base's, if any.

    Parameters
    ----------
    entry : of the catalogue, as `with_bases` gives it.
    """
    if entry["source"] != TROJANED:
        return entry["source"], dict(entry.get("options", {}))
    base = {**SOURCES.facts(TROJANED)["parameters"]["base"], **entry["options"].get("base", {})}
    return base["source"], dict(base.get("options") or {})


def source_items(entry: Mapping[str, Any]) -> list[Item]:
    """A data set's source, and the source whose images it takes."""
    names = dict.fromkeys([entry["source"], source_and_options(entry)[0]])
    return [SOURCES.item(name) for name in names]


def own_paths(entry: Mapping[str, Any]) -> tuple[str, ...]:
    """The options of a data set that are paths of the user's own files; none of most."""
    source = str(entry.get("source"))
    found: tuple[str, ...] = ()
    if source in SOURCES:
        found = SOURCES.facts(source).get("path_parameters", ())
    return found


def without_mirrors(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options of a source but from where its files come, which changes nothing in them."""
    found = {key: value for key, value in options.items() if key != "mirrors"}
    base = found.get("base")
    if isinstance(base, Mapping) and "options" in base:
        found["base"] = {**base, "options": without_mirrors(base["options"])}
    return found


# -------------------------------------------------------------------------------------------- paths

Config = Mapping[str, Any]
# Braces would be wildcards of Snakemake, which the schema refuses in what is written.
_UNUSABLE = re.compile(r"[{}\x00-\x1f]")


def with_paths(
    config: Config, environ: Mapping[str, str] = os.environ
) -> tuple[dict[str, Any], list[str]]:
    """A copy with `~` and variables replaced in all paths.

    They are `data_folder`, `initial_weights` of models, `given` of pruners, files of architectures,
    and those of the user's own images, which also get a folder for what their files tell
    (`sparsight.data.scans`). Paths that cannot be expanded, or that Snakemake would misread, have
    an error message each.
    """
    problems: list[str] = []

    def expanded(given: str, key: str) -> str:
        try:
            return expand_path(given, key, environ)
        except InputError as error:
            problems.append(f"{error}.")
            return given

    folder = expanded(config["data_folder"], "data_folder")
    if _UNUSABLE.search(folder) and not problems:
        given = config["data_folder"]
        text = f"data_folder is {given}, which is {folder!r} here; choose a path without braces."
        problems.append(text)

    def of_numbers(given: str, key: str, known: tuple[str, ...]) -> str:
        """A path in which seeds and levels are filled in later; they may be filled in again."""
        count, path = len(problems), expanded(given, key)
        if len(problems) == count and _UNUSABLE.search(fill_path(path, **dict.fromkeys(known, 0))):
            names = " and ".join(f"{{{name}}}" for name in known)
            problems.append(f"{key} is {given!r}; choose a path without braces but {names}.")
        return path

    models, pruners = dict(config["catalogue"]["models"]), dict(config["catalogue"]["pruners"])
    for name, entry in models.items():
        given = entry["initial_weights"]
        if given not in WORDS:
            path = of_numbers(given, f"catalogue.models.{name}.initial_weights", ("seed",))
            models[name] = entry = {**entry, "initial_weights": path}
        if factory := factory_of(entry.get("architecture", "")):
            path = expanded(factory[0], f"catalogue.models.{name}.architecture")
            models[name] = {**entry, "architecture": f"{path}:{factory[1]}"}
    for name, entry in pruners.items():
        if given := entry.get("given"):
            key = f"catalogue.pruners.{name}.given"
            paths = [given] if isinstance(given, str) else given
            found = [of_numbers(path, key, ("seed", "level")) for path in paths]
            pruners[name] = {**entry, "given": found if isinstance(given, list) else found[0]}
    datasets = dict(config["catalogue"]["datasets"])
    for name, entry in datasets.items():
        if not (paths := own_paths(entry)):
            continue
        options, where = dict(entry["options"]), f"catalogue.datasets.{name}.options"
        for key in paths:
            if isinstance(given := options.get(key), str):
                options[key] = expanded(given, f"{where}.{key}")
        options.setdefault("scans", f"{folder}/{SCANS}")
        datasets[name] = {**entry, "options": options}
    entries = {"models": models, "pruners": pruners, "datasets": datasets}
    catalogue = {**config["catalogue"], **entries}
    return {**config, "data_folder": folder, "catalogue": catalogue}, problems


def normalise(value: Any) -> Any:
    """A copy with sorted keys and whole floats as integers.

    Snakemake compares a rule's settings as text: 1.0 and 1, or another order of keys, would
    repeat jobs for nothing. An unquoted `target: true` becomes the name that it stands for.
    """
    if isinstance(value, Mapping):
        found = {key: normalise(value[key]) for key in sorted(value, key=str)}
        if found.get("target") is True:
            found["target"] = "true"
        return found
    if isinstance(value, list | tuple):
        return [normalise(item) for item in value]
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


#: the look, from 1 on, that a study of this name and with so many networks at each has reached
Reached = Callable[[str, Sequence[int]], int]


def with_seeds(config: Config, reached: Reached) -> dict[str, Any]:
    """A copy with the seeds of the look that is reached, and what looks there are (`looks`).

    It is the same where seeds do not come by looks.
    """
    seeds = config["seeds"]
    if isinstance(seeds, list):
        return dict(config)
    look = reached(config["study"], seeds["look"])
    count, looks = seeds["look"][look - 1], {"at": look, "networks": seeds["look"]}
    return {**config, "seeds": [seeds["first"] + place for place in range(count)], "looks": looks}


def resolve(
    config: Mapping[str, Any], reached: Reached = lambda study, networks: 1
) -> tuple[dict[str, Any], list[str]]:
    """A configuration as the workflow uses it, and all its problems, an error message each.

    Parameters
    ----------
    config : normalised; a whole study, or what `sparsight.study.quick` makes one of.
    reached : which look a study with seeds by looks has reached; see `sparsight.study.looks`.

    Returns
    -------
    The configuration with defaults, and what follows from it: seeds, paths, explainers on pruned
    copies. It may be used where there are no problems. Names are looked up only once keys and
    values are those of the models, and combinations once the names are known.
    """
    try:
        whole, found = validated(quick_study(config) if is_quick(config) else config)
    except InputError as error:
        return dict(config), [f"{error}."]
    if found:
        return whole, found
    whole, wrong = with_paths(normalise(with_seeds(whole, reached)))
    whole, found = with_bases(whole)
    if found or wrong:
        return whole, [*found, *wrong]
    found = [*catalogue_problems(whole["catalogue"]), *choice_problems(whole)]
    found = found or [*dataset_problems(whole)] or [*architecture_problems(whole)]
    if found:
        return whole, found
    if "pruners" not in config:
        whole = with_pruners(whole)
    whole = with_choices(whole)
    found = [*sample_name_problems(whole)]
    if found:
        return whole, found
    whole = normalise(with_pruned_samples(whole))
    found = [*network_problems(whole)] or [
        *pruner_problems(whole),
        *family_problems(whole),
        *combination_problems(whole),
        *sample_combination_problems(whole),
        *range_problems(whole),
        *concept_problems(whole),
        *visualisation_problems(whole),
    ]
    # Networks share problems.
    return whole, list(dict.fromkeys(found)) or [*claim_problems(whole)]
