"""Are the claims of a configuration sound? One error message for each problem."""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from sparsight.analysis.claims.registry import ACCURACY_MEASURE, CLAIMS, COMMON_KEYS
from sparsight.concepts.registry import SAME
from sparsight.study.checks import parameter_problems
from sparsight.study.phrases import as_yaml, in_words, unknown_name
from sparsight.study.plan import (
    ConceptPlan,
    Network,
    Study,
    class_names,
    concept_names,
    metric_facts,
)

#: what a key of a claim about concepts can name, and the fact that lists what there is
_FACTS = {"concept measure": "measures", "concept comparison": "comparisons"}
CONCEPT_KINDS = frozenset(
    {
        *("concept", "levels of concepts", "retraining pruner"),
        *("class of concepts", "named concept", *_FACTS),
    }
)
#: common keys of claims that say nothing of concepts, to the one value that does no harm
_IDLE = {"explainer": None, "metric": None, "condition": "clean", "subset": "all"}


def concept_key_problems(where: str, claim: Mapping[str, Any]) -> Iterator[str]:
    """Common keys that a claim about concepts has no use for."""
    if "concept" not in CLAIMS.facts(claim["test"])["refers"].values():
        return
    for key, harmless in _IDLE.items():
        if key in claim and claim[key] != harmless:
            yield f"{where}.{key} says nothing of concepts, of which {claim['test']} is; drop it."


def concept_reference_problems(
    study: Study, key: str, kind: str, value: Any, claim: Mapping[str, Any]
) -> Iterator[str]:
    """What is wrong with a value that is of one of `CONCEPT_KINDS`."""
    plan = ConceptPlan(study)
    known = plan.names(_network(study, claim))
    if kind == "concept":
        if value not in known:
            yield unknown_name("concept that runs", key, value, known)
    elif kind == "retraining pruner":
        retraining = study.retraining_pruners(_network(study, claim))
        if value not in retraining:
            yield unknown_name("pruner that only retrains and runs", key, value, retraining)
    elif kind == "levels of concepts":
        yield from _concept_level_problems(study, key, value, claim)
    elif kind == "class of concepts":
        yield from _class_problems(study, key, value, claim)
    elif kind == "named concept":
        if claim["concept"] in known:
            yield from _name_problems(plan, key, value, claim)
    elif claim["concept"] in known:
        measures = plan.facts(claim["concept"])[_FACTS[kind]]
        if value not in measures:
            words = f"{kind.removeprefix('concept ')} of {claim['concept']}"
            yield unknown_name(words, key, value, measures)


def _network(study: Study, claim: Mapping[str, Any]) -> Network | None:
    """The network that a claim is about; None where there is no such one."""
    first = study.networks()[0]
    pair = (claim.get("dataset", first.dataset), claim.get("model", first.model))
    return next((n for n in study.networks() if (n.dataset, n.model) == pair), None)


def _class_problems(study: Study, key: str, value: Any, claim: Mapping[str, Any]) -> Iterator[str]:
    """An unknown class, where the classes are known without the original files."""
    network = _network(study, claim)
    if network is None:
        return
    names = class_names(study, network.dataset)
    # an empty name is that of all classes together
    if value != "" and names and value not in names:
        yield unknown_name(f"class of {network.dataset}", key, value, names)


def _name_problems(
    plan: ConceptPlan, key: str, value: Any, claim: Mapping[str, Any]
) -> Iterator[str]:
    """A concept that is only numbered, or unknown where the names are known without the files."""
    facts, network = plan.facts(claim["concept"]), _network(plan.study, claim)
    if not facts["shared_names"]:
        yield (
            f"{key} is {in_words(value)}, but {claim['concept']} only numbers its concepts, "
            "network by network, so that a number means another one in each; name a method that "
            "has names."
        )
    elif "concept_labels" in facts["needs"] and network:
        bank = plan.study.concept_bank(network.dataset)
        names = concept_names(plan.study, bank)
        unknown = [name for name in str(value).split(SAME) if name not in names]
        if value != "" and names and unknown:
            yield unknown_name(f"concept of {bank}", key, unknown[0], names)


def _concept_level_problems(
    study: Study, key: str, value: Any, claim: Mapping[str, Any]
) -> Iterator[str]:
    whole = isinstance(value, list) and len(value) == 2
    if not (whole and all(isinstance(x, int) for x in value) and value[0] <= value[1]):
        yield f"{key} is {as_yaml(value)}, but must be a list of two levels, the lower one first."
        return
    first, last = value
    pruner, end = claim["pruner"], study.level_count(claim["pruner"])
    if first < 1 or last > end:
        yield f"{key} is {as_yaml(value)}, but {pruner} has the pruned levels 1 to {end}."
        return
    for level in range(first, last + 1):
        if not study.finds_concepts(pruner, level):
            yield (
                f"{key} takes in level {level}, in which no concepts are looked for; choose other "
                "levels, or add it to concept_analysis.levels."
            )
            return


#: key of a claim to the list of the study that it names an entry of
_CHOSEN = {
    "dataset": "datasets",
    "model": "models",
    "pruner": "pruners",
    "explainer": "explainers",
    "metric": "metrics",
}


def claim_problems(config: Mapping[str, Any]) -> Iterator[str]:
    """One error message for everything in `claims` that cannot be decided as it stands.

    Parameters
    ----------
    config : normalised, sound by the schema and in all its other choices.
    """
    claims = config.get("claims", [])
    for name, count in Counter(claim["name"] for claim in claims).items():
        if count > 1:
            yield f"claims: {count} claims have the name '{name}'; give each its own."
    study = Study(config)
    for index, claim in enumerate(claims):
        where = f"claims[{index}]"
        if claim["test"] not in CLAIMS:
            yield unknown_name("claim test", f"{where}.test", claim["test"], CLAIMS.names())
            continue
        problems = [*_common_problems(study, where, claim)]
        yield from problems or _own_problems(study, where, claim)


def _common_problems(study: Study, where: str, claim: Mapping[str, Any]) -> Iterator[str]:
    """Names that do not run, and keys that lack."""
    for key, group in _CHOSEN.items():
        if key in claim:
            yield from _unknown(key, f"{where}.{key}", claim[key], study.config[group])
    dataset = claim.get("dataset", study.networks()[0].dataset)
    if "condition" in claim and dataset in study.config["datasets"]:
        conditions = study.conditions(dataset)
        yield from _unknown("condition", f"{where}.condition", claim["condition"], conditions)
    for key in CLAIMS.facts(claim["test"])["needs"]:
        if key not in claim:
            yield f"'{key}' is missing at {where}; the test {claim['test']} needs it."
    yield from concept_key_problems(where, claim)
    yield from _network_problems(study, where, claim)
    retraining = study.retraining_pruners()
    if claim["pruner"] in retraining:
        yield f"{where}.pruner is {claim['pruner']}, which prunes nothing; name one that prunes."


def _network_problems(study: Study, where: str, claim: Mapping[str, Any]) -> Iterator[str]:
    """Whether the claim's model runs on its data set, with its pruner and its explainer."""
    first = study.networks()[0]
    pair = (claim.get("dataset", first.dataset), claim.get("model", first.model))
    networks = {(network.dataset, network.model): network for network in study.networks()}
    named = all(
        name in study.config[g] for name, g in zip(pair, ("datasets", "models"), strict=True)
    )
    if named and pair not in networks:
        yield f"{where} is about {pair[1]} on {pair[0]}, which networks leaves out; name another."
    elif named:
        network = networks[pair]
        for key in ("pruner", "explainer", "metric"):
            known = getattr(network, f"{key}s")
            if claim.get(key, known[0]) not in known and claim[key] in study.config[f"{key}s"]:
                yield (
                    f"{where}.{key} is {claim[key]}, which does not run with {pair[1]} on "
                    f"{pair[0]}; name another, or give the claim another dataset and model."
                )


def _unknown(kind: str, key: str, name: object, known: Iterable[str]) -> Iterator[str]:
    names = list(known)
    if name not in names:
        yield unknown_name(f"{kind} that runs", key, name, names)


def _own_problems(study: Study, where: str, claim: Mapping[str, Any]) -> Iterator[str]:
    """Keys of the claim's test."""
    facts = CLAIMS.facts(claim["test"])
    own = {key: value for key, value in claim.items() if key not in COMMON_KEYS}
    wrong = [*parameter_problems(where, own, facts["parameters"])]
    if wrong:
        yield from wrong
        return
    settings = {**facts["parameters"], **own}
    for key, words in facts["choices"].items():
        if settings[key] not in words:
            yield unknown_name("choice", f"{where}.{key}", settings[key], words)
    for key, (low, high) in facts["ranges"].items():
        if not (_is_number(settings[key]) and low <= settings[key] <= high):
            upper = f" to {high:g}" if high < 1e9 else " or more"
            yield f"{where}.{key} is {in_words(settings[key])}, but must be {low:g}{upper}."
    for key, kind in facts["refers"].items():
        # an empty default names nothing
        if key in own or settings[key] != "":
            yield from _reference_problems(study, f"{where}.{key}", kind, settings[key], claim)


def _reference_problems(
    study: Study, key: str, kind: str, value: Any, claim: Mapping[str, Any]
) -> Iterator[str]:
    """What is wrong with a value that names an explainer, a metric, a measure or levels."""
    if kind == "explainer":
        yield from _unknown(kind, key, value, study.config["explainers"])
        if (
            value in study.controls()
            and not study.needs_network(value)
            and not _looks_at_network(study, claim.get("metric"))
        ):
            yield (
                f"{key}: {value} never looks at the network, so that its score is the same at "
                "every level and correlates with nothing; name a control that needs the network."
            )
    elif kind == "explainer of the same images":
        yield from _unknown("explainer", key, value, study.config["explainers"])
        if value in study.config["explainers"]:
            yield from _other_images(study, key, value, claim)
    elif kind == "metric":
        yield from _unknown(kind, key, value, study.config["metrics"])
    elif kind == "measure":
        yield from _measure_problems(study, key, value, claim)
    elif kind == "pruner":
        yield from _unknown(kind, key, value, study.config["pruners"])
    elif kind in CONCEPT_KINDS:
        yield from concept_reference_problems(study, key, kind, value, claim)
    elif kind == "whole number":
        # what is no number at all is out of its range
        if isinstance(value, float) and not value.is_integer():
            yield f"{key} is {in_words(value)}, but must be a whole number."
    elif kind == "level":
        yield from _level_problems(study, key, value, claim)
    elif not _is_range(value):
        yield f"{key} is {as_yaml(value)}, but must be a list of two levels, the lower one first."
    else:
        last = study.level_count(claim["pruner"])
        if value[0] < 0 or value[1] > last:
            yield f"{key} is {as_yaml(value)}, but {claim['pruner']} has the levels 0 to {last}."
            return
        if value[1] < 1:
            yield f"{key} is {as_yaml(value)}, dense against itself; end with level 1 or later."
            return
        yield from _unexplained(study, key, range(int(value[0]), int(value[1]) + 1), claim)
        other = str(claim.get("other_pruner"))
        if other in study.config["pruners"] and value[1] > study.level_count(other):
            last = study.level_count(other)
            yield f"{key} is {as_yaml(value)}, but {other} has the levels 0 to {last}."


def _other_images(study: Study, key: str, other: str, claim: Mapping[str, Any]) -> Iterator[str]:
    """Whether two explainers that are compared explain the same images."""
    own = claim.get("explainer")
    if own not in study.config["explainers"]:
        return
    families = [study.catalogue["explainers"][name]["family"] for name in (own, other)]
    images = [study.explaining(family).get("images", "all") for family in families]
    targets = [study.explaining(family).get("target") for family in families]
    if images[0] != images[1] or targets[0] != targets[1]:
        what = "images" if images[0] != images[1] else "target"
        pair = images if images[0] != images[1] else targets
        yield (
            f"{key}: {own} and {other} cannot be paired, since their {what} are {pair[0]} and "
            f"{pair[1]}; give families.{families[0]} and families.{families[1]} the same."
        )


def _looks_at_network(study: Study, metric: Any) -> bool:
    """Whether a metric's score of one and the same map differs between networks."""
    entry = study.catalogue["metrics"].get(metric)
    return entry is not None and "model" in metric_facts(entry["method"])["needs"]


def _measure_problems(
    study: Study, key: str, value: Any, claim: Mapping[str, Any]
) -> Iterator[str]:
    if value == ACCURACY_MEASURE:
        return
    metrics: Collection[str] = study.config["metrics"]
    if value not in metrics:
        yield unknown_name("measure that runs", key, value, [ACCURACY_MEASURE, *metrics])
        return
    if "explainer" not in claim:
        yield f"{key} is the metric {value}; say of which explainer."
    facts = metric_facts(study.catalogue["metrics"][value]["method"])
    if facts["direction"] != "higher":
        yield f"{key} is {value}, of which more is not better: it has no loss; name another metric."


def _level_problems(study: Study, key: str, value: Any, claim: Mapping[str, Any]) -> Iterator[str]:
    pruner = claim["pruner"]
    last = study.level_count(pruner)
    if not (isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= last):
        yield f"{key} is {in_words(value)}, but {pruner} has the levels 0 to {last}."
    else:
        yield from _unexplained(study, key, [value], claim)


def _unexplained(
    study: Study, key: str, levels: Iterable[int], claim: Mapping[str, Any]
) -> Iterator[str]:
    """Levels that a claim is about, and at which its explainer does not run."""
    explainer = claim.get("explainer")
    if explainer is None:
        return
    family = study.catalogue["explainers"][explainer]["family"]
    for level in levels:
        if not study.explains(family, claim["pruner"], level):
            yield (
                f"{key} takes in level {level}, at which {explainer} is not explained; choose "
                f"another level, or add it to families.{family}.levels."
            )
            return


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_range(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 2
        and all(_is_number(level) for level in value)
        and value[0] <= value[1]
    )
