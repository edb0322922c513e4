"""Can a model start as its catalogue entry says: initial weights, training on another data set?"""

from collections.abc import Iterator
from typing import Any

from sparsight.data.registry import SOURCES
from sparsight.io.errors import InputError
from sparsight.models.options import checked_options
from sparsight.models.registry import MODELS
from sparsight.parameters import hint
from sparsight.study.phrases import unknown_name
from sparsight.study.plan import Network, Study
from sparsight.study.storage import shape_of_images
from sparsight.training.options import recipe_problems

#: what `initial_weights` can be beside a path
WORDS = ("random", "imagenet")


def start_problems(study: Study, network: Network) -> Iterator[str]:
    """One sentence for each thing that does not go together in the start of a network."""
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
    dataset = study.catalogue["datasets"][other]
    splits: tuple[str, ...] = ("train", "test")
    if entry["pretraining"].get("select", "last") != "last":
        source = SOURCES.load(dataset["source"])
        try:
            splits = tuple(source.split_names(dataset.get("options", {})))
        except InputError as error:
            yield f"catalogue.datasets.{other}.options: {error}."
            return
    for problem in recipe_problems(entry["pretraining"], splits):
        yield f"{where}.pretraining on {other}: {problem}."
