"""Are claims about concepts sound? Their problems, as sentences."""

from collections.abc import Iterator, Mapping
from typing import Any

from sparsight.analysis.claims.registry import CLAIMS
from sparsight.concepts.registry import SAME
from sparsight.study.concept_plan import ConceptPlan
from sparsight.study.phrases import given, shown, unknown_name
from sparsight.study.plan import Network, Study
from sparsight.study.storage import class_names, concept_names

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
        yield from _level_problems(study, key, value, claim)
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
            f"{key} is {given(value)}, but {claim['concept']} only numbers its concepts, network "
            "by network, so that a number means another one in each; name a method that has names."
        )
    elif "concept_labels" in facts["needs"] and network:
        bank = plan.study.concept_bank(network.dataset)
        names = concept_names(plan.study, bank)
        unknown = [name for name in str(value).split(SAME) if name not in names]
        if value != "" and names and unknown:
            yield unknown_name(f"concept of {bank}", key, unknown[0], names)


def _level_problems(study: Study, key: str, value: Any, claim: Mapping[str, Any]) -> Iterator[str]:
    whole = isinstance(value, list) and len(value) == 2
    if not (whole and all(isinstance(x, int) for x in value) and value[0] <= value[1]):
        yield f"{key} is {shown(value)}, but must be a list of two levels, the lower one first."
        return
    first, last = value
    pruner, end = claim["pruner"], study.level_count(claim["pruner"])
    if first < 1 or last > end:
        yield f"{key} is {shown(value)}, but {pruner} has the pruned levels 1 to {end}."
        return
    for level in range(first, last + 1):
        if not study.finds_concepts(pruner, level):
            yield (
                f"{key} takes in level {level}, in which no concepts are looked for; choose other "
                "levels, or add it to concept_analysis.levels."
            )
            return
