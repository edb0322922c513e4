"""Feature visualisation in a configuration: which classes of which networks are visualised."""

from collections.abc import Iterator, Mapping
from typing import Any

from sparsight.data.registry import SOURCES
from sparsight.study.bases import TROJANED
from sparsight.study.phrases import shown, unknown_name
from sparsight.study.plan import Network, Study
from sparsight.study.storage import shape_of_images

_WHERE = "sample_pruning.visualised"


def visualised(config: Mapping[str, Any]) -> dict[str, Any]:
    """The part `sample_pruning.visualised`; empty where nothing is visualised."""
    found = dict(config.get("sample_pruning", {}).get("visualised", {}))
    return found if found.get("classes") else {}


def stickers_of(study: Study, dataset: str) -> dict[str, tuple[int, str]]:
    """Each sticker of a data set with the number and the name of its class; none, no trojan."""
    entry = study.catalogue["datasets"][dataset]
    if entry["source"] != TROJANED:
        return {}
    from sparsight.data.sources.trojaned import trojan_of  # late: the start of a study is light

    options = entry.get("options", {})
    classes = SOURCES.load(TROJANED).classes_of(options)
    trojan = trojan_of(options, classes, min(shape_of_images(study, dataset)[1:]))
    return {sticker: (label, classes[label]) for sticker, label in trojan.targets.items()}


def visualised_stickers(study: Study, dataset: str) -> list[str]:
    """The stickers of a data set whose classes are visualised, in the order of the data set."""
    chosen = visualised(study.config).get("classes", [])
    stickers = stickers_of(study, dataset) if chosen else {}
    if chosen == "all":
        return list(stickers)
    if isinstance(chosen, int):
        return list(stickers)[:chosen]
    return [name for name, facts in stickers.items() if set(facts) & set(chosen)]


def visualised_networks(study: Study) -> list[Network]:
    """The networks of which classes are visualised."""
    return [n for n in study.networks() if visualised_stickers(study, n.dataset)]


def visualisation_problems(config: Mapping[str, Any]) -> Iterator[str]:
    """Sentences on what is wrong with `sample_pruning.visualised`; data sets must be sound."""
    chosen = visualised(config)
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
            f"{_WHERE}.classes is {shown(chosen['classes'])}, but no data set of the study has a "
            "trojan; make it [], or choose a data set with `trojan` in the catalogue."
        )
        return
    marked = [facts for stickers in classes.values() for facts in stickers.values()]
    for wanted in chosen["classes"] if isinstance(chosen["classes"], list) else ():
        if not any(wanted in facts for facts in marked):
            standing = ", ".join(dict.fromkeys(f"{name} ({label})" for label, name in marked))
            yield (
                f"{_WHERE}.classes names {shown(wanted)}, for which no sticker stands; choose "
                f"among {standing}."
            )
    for dataset in datasets:
        channels, height, width = shape_of_images(study, dataset)
        if classes[dataset] and (height != width or channels not in (1, 3)):
            yield (
                f"{_WHERE}: images of {dataset} are {channels} x {height} x {width}, but pictures "
                "can be made for square ones of 1 or 3 channels; make classes []."
            )
