"""Sample-targeted pruning in a configuration: each explainer once more, on copies pruned for it.

`sample_pruning` crosses sample pruners with explainers. What comes out are explainers like others,
`spade_fast__saliency` in the family `spade_fast__gradient`, so that everything that scores,
compares, tests and draws explainers takes them as they come.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from sparsight.explain.registry import EXPLAINERS
from sparsight.spade.registry import SOLVERS
from sparsight.study.parameters import parameter_problems
from sparsight.study.phrases import unknown_name

Config = Mapping[str, Any]

#: between the names of a sample pruner and of an explainer or family
SEPARATOR = "__"
#: what `sample_pruning` says of the families that it makes
_EXPLAINING = ("images", "levels", "batch_size")


def derived_name(sample_pruner: str, name: str) -> str:
    """Name of an explainer or a family on copies that a sample pruner has pruned."""
    return f"{sample_pruner}{SEPARATOR}{name}"


def unpruned_family(sample_pruner: str, family: str) -> str:
    """The family of the same explainers on the network itself."""
    return family.removeprefix(derived_name(sample_pruner, ""))


def searches(entry: Mapping[str, Any]) -> bool:
    """Whether a sample pruner's sparsities are searched for on calibration images."""
    return "search" in entry["sparsities"]


def sparsities_from(catalogue: Config, sample_pruner: str) -> str:
    """The sample pruner whose sparsities a sample pruner takes: itself, unless it says `as`."""
    entry = catalogue["sample_pruners"][sample_pruner]
    return str(entry["sparsities"].get("as", sample_pruner))


def sample_pruning_problems(config: Config) -> Iterator[str]:
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
        elif name in config["catalogue"]["explainers"] and not _prunes_for(config, name):
            yield (
                f"sample_pruning.explainers: {name} is a control or looks at no network, so that "
                "there is nothing to prune for it; drop it there."
            )
    for name, entry in known.items():
        yield from _entry_problems(known, name, entry)


def _entry_problems(known: Config, name: str, entry: Mapping[str, Any]) -> Iterator[str]:
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


def _prunes_for(config: Config, explainer: str) -> bool:
    facts = EXPLAINERS.facts(config["catalogue"]["explainers"][explainer]["method"])
    return bool(facts.get("needs_network", True)) and not facts.get("control", False)


def pruned_for(config: Config) -> list[str]:
    """The explainers that also run on pruned copies, in the order of the configuration."""
    chosen = config.get("sample_pruning", {})
    if not chosen.get("pruners"):
        return []
    named = chosen.get("explainers", "all")
    entries = config["catalogue"]["explainers"]
    return [
        name
        for name in config["explainers"]
        # Those that were made so before are no explainers to make others of.
        if "sample_pruner" not in entries[name]
        and (_prunes_for(config, name) if named == "all" else name in named)
    ]


def with_pruned_samples(config: Config) -> dict[str, Any]:
    """A copy of a configuration in which explainers on pruned copies stand beside the others.

    Parameters
    ----------
    config : sound in all that `sample_pruning_problems` looks at.

    Returns
    -------
    The same where nothing is pruned for samples. Else `explainers` and those of `networks` have one
    more name for each sample pruner and explainer, the catalogue has their entries, with the key
    `sample_pruner`, and `families` has how their families are explained.
    """
    chosen = config.get("sample_pruning", {})
    bases = pruned_for(config)
    if not bases:
        return dict(config)
    catalogue = dict(config["catalogue"])
    entries = dict(catalogue["explainers"])
    families = dict(config.get("families", {}))
    own = {key: chosen[key] for key in _EXPLAINING if key in chosen}
    for pruner in chosen["pruners"]:
        for base in bases:
            entry = entries[base]
            family = derived_name(pruner, entry["family"])
            entries[derived_name(pruner, base)] = {
                **entry,
                "family": family,
                "sample_pruner": pruner,
            }
            exceptions = config.get("families", {}).get(entry["family"], {})
            target = {key: exceptions[key] for key in ("target",) if key in exceptions}
            given = config.get("families", {}).get(family, {})
            families[family] = {**target, **own, **given}
    networks = [
        {**network, "explainers": _crossed(network["explainers"], bases, chosen["pruners"])}
        if network.get("explainers")
        else network
        for network in config.get("networks", [])
    ]
    return {
        **config,
        "catalogue": {**catalogue, "explainers": entries},
        "explainers": _crossed(config["explainers"], bases, chosen["pruners"]),
        "families": families,
        "networks": networks,
    }


def _crossed(names: list[str], bases: list[str], pruners: list[str]) -> list[str]:
    """`names`, and each of them that is in `bases` once more for every sample pruner."""
    more = [derived_name(pruner, name) for pruner in pruners for name in names if name in bases]
    return [*names, *more]
