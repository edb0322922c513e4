"""How many images and bytes a study will take, from its configuration alone."""

from sparsight.data.registry import SOURCES
from sparsight.data.settings import image_shape, stated_test_images
from sparsight.explain.registry import EXPLAINERS
from sparsight.io.errors import InputError
from sparsight.models.options import layer_names, layer_size
from sparsight.models.registry import MODELS
from sparsight.study.plan import Network, Study

_FLOAT_BYTES = 4


def available_images(study: Study, dataset: str) -> int:
    """Images of a data set's test split."""
    entry = study.catalogue["datasets"][dataset]
    facts, options = SOURCES.facts(entry["source"]), entry.get("options", {})
    if "test_images" in facts.get("varying", ()):
        return int(SOURCES.load(entry["source"]).tested_of(options))
    return stated_test_images(facts, options)


def has_masks(study: Study, dataset: str) -> bool:
    """Whether a data set's images have masks under its options."""
    entry = study.catalogue["datasets"][dataset]
    facts = SOURCES.facts(entry["source"])
    if "has_masks" in facts.get("varying", ()):
        return bool(SOURCES.load(entry["source"]).masks_of(entry.get("options", {})))
    return bool(facts.get("has_masks", False))


def has_parts(study: Study, dataset: str) -> bool:
    """Whether parts of a data set's objects have masks under its options."""
    entry = study.catalogue["datasets"][dataset]
    facts = SOURCES.facts(entry["source"])
    if "part_names" in facts.get("varying", ()):
        return bool(SOURCES.load(entry["source"]).parts_of(entry.get("options", {})))
    return bool(facts.get("part_names", ()))


def has_concepts(study: Study, dataset: str) -> bool:
    """Whether a data set's images have concepts under its options."""
    entry = study.catalogue["datasets"][dataset]
    facts = SOURCES.facts(entry["source"])
    if "concept_names" in facts.get("varying", ()):
        return bool(SOURCES.load(entry["source"]).has_concepts(entry.get("options", {})))
    return bool(facts.get("concept_names", ()))


def class_names(study: Study, dataset: str) -> list[str]:
    """Names of a data set's classes; empty where only the original files tell them."""
    from sparsight.data.base import Source  # late: the start of a study imports nothing heavy

    entry = study.catalogue["datasets"][dataset]
    source = SOURCES.load(entry["source"])
    stated = any(
        getattr(source, way).__func__ is not getattr(Source, way).__func__
        for way in ("class_names", "classes_of")
    )
    if not stated and source.describe is not Source.describe:
        return []
    return list(source.classes_of(entry.get("options", {})))


def concept_names(study: Study, dataset: str) -> list[str]:
    """Names of a data set's concepts; empty where only the original files tell them."""
    entry = study.catalogue["datasets"][dataset]
    return list(SOURCES.load(entry["source"]).concepts_of(entry.get("options", {})))


def shape_of_images(study: Study, dataset: str) -> tuple[int, int, int]:
    """(C, H, W) of a data set's images."""
    entry = study.catalogue["datasets"][dataset]
    facts, options = SOURCES.facts(entry["source"]), entry.get("options", {})
    if "image_shape" in facts.get("varying", ()):
        channels, height, width = SOURCES.load(entry["source"]).shape(options)
        return channels, height, width
    return image_shape(facts, options)


def map_size(study: Study, explainer: str, network: Network) -> tuple[int, int]:
    """(height, width) of an explainer's stored maps of a network."""
    shape = shape_of_images(study, network.dataset)
    entry = study.catalogue["explainers"][explainer]
    model = study.catalogue["models"][network.model]
    facts = MODELS.facts(model["architecture"])
    given = entry.get("parameters", {}).get("layer")
    layer = given or facts["explain_layer"]
    at_layer = EXPLAINERS.facts(entry["method"]).get("native") == "layer"
    # Maps of other libraries over several layers come at image size.
    several = EXPLAINERS.is_foreign(entry["method"]) and not entry.get("parameters", {}).get(
        "layer"
    )
    if not at_layer or several or layer not in layer_names(facts):
        return shape[1:]
    return layer_size(facts, model.get("options", {}), shape, layer)


def stored_bytes(study: Study) -> int:
    """Predicted size of all stored explanations."""
    return sum(
        _family_bytes(study, family, network) * _files(study, family, network)
        for network in study.networks()
        for family in study.families(network)
    )


def check_disk_budget(study: Study) -> None:
    """Refuse a study whose explanations would need more than `disk_budget_gb`.

    Raises
    ------
    InputError
        One sentence with the predicted size.
    """
    budget, predicted = study.config["disk_budget_gb"], stored_bytes(study) / 1e9
    if predicted > budget:
        raise InputError(
            f"the stored explanations would take {predicted:.2f} GB, more than disk_budget_gb "
            f"({budget}); raise it, or explain fewer images or levels (explaining.images)"
        )


def _files(study: Study, family: str, network: Network) -> int:
    if family in study.network_free_families():
        # once per data set: counted with its first network
        first = next(n for n in study.networks() if n.dataset == network.dataset)
        return int(network == first)
    whose = (network.dataset, network.model)
    places = [place for place in study.places() if (place.dataset, place.model) == whose]
    return sum(study.explains(family, place.pruner, place.level) for place in places)


def _family_bytes(study: Study, family: str, network: Network) -> int:
    explaining = study.explaining(family)
    wanted = explaining["images"]
    count = available_images(study, network.dataset) if wanted == "all" else int(wanted)
    sizes = [map_size(study, name, network) for name in study.families(network)[family]]
    pixels = sum(rows * columns for rows, columns in sizes)
    return count * pixels * _FLOAT_BYTES * len(study.conditions(network.dataset))
