"""What does not go together in a configuration's concepts: methods, banks, annotations, levels."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from sparsight.models.registry import MODELS
from sparsight.study.concept_plan import ConceptPlan
from sparsight.study.phrases import given, unknown_name
from sparsight.study.plan import RESERVED, Network, Study
from sparsight.study.storage import (
    available_images,
    has_concepts,
    has_masks,
    has_parts,
    shape_of_images,
)

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
                f"concept_analysis.levels is {given(levels)} without 0; add level 0, the dense "
                "network that all others are held against."
            )
