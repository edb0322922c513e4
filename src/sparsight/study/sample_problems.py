"""What does not go together with sample-targeted pruning: levels, splits, masks."""

from collections.abc import Iterator, Mapping
from typing import Any

from sparsight.data.registry import SOURCES
from sparsight.study.phrases import listed
from sparsight.study.plan import DENSE, Study
from sparsight.study.sample_pruning import searches, sparsities_from, unpruned_family
from sparsight.study.storage import has_masks


def sample_combination_problems(config: Mapping[str, Any]) -> Iterator[str]:
    """Sentences on what cannot run, or what the table of sample pruning could not be made of.

    Parameters
    ----------
    config : as `with_pruned_samples` leaves it, with sound data sets.
    """
    pruners = config.get("sample_pruning", {}).get("pruners", [])
    if not pruners:
        return
    study = Study(config)
    if not study.sample_families():
        yield (
            "sample_pruning.explainers: none of them looks at the network without being a "
            "control, so that nothing would be pruned for samples; add one, or name no pruners."
        )
    yield from dict.fromkeys(_level_problems(study))
    for name in dict.fromkeys(sparsities_from(study.catalogue, pruner) for pruner in pruners):
        if searches(study.catalogue["sample_pruners"][name]):
            yield from _calibration_problems(study, name)


def _level_problems(study: Study) -> Iterator[str]:
    """Levels at which a family runs on copies and not on the network."""
    for family in study.sample_families():
        own = unpruned_family(study.sample_pruner(family), family)
        lacking = [
            level
            for pruner in study.config["pruners"]
            for level in range(study.level_count(pruner) + 1)
            for owner in (pruner if level else DENSE,)
            if study.explains(family, owner, level) and not study.explains(own, owner, level)
        ]
        if lacking:
            levels = listed([str(level) for level in sorted(set(lacking))])
            yield (
                f"sample_pruning.levels: {own} is explained on the network itself at other levels "
                f"({levels} lacking), so that copies have nothing to be held against there; give "
                f"families.{own} these levels too."
            )


def _calibration_problems(study: Study, sample_pruner: str) -> Iterator[str]:
    """Data sets that lack the split or the masks that a search needs."""
    where = f"catalogue.sample_pruners.{sample_pruner}.sparsities.search"
    search = study.catalogue["sample_pruners"][sample_pruner]["sparsities"]["search"]
    split = search.get("split", "train")
    for dataset in study.config["datasets"]:
        entry = study.catalogue["datasets"][dataset]
        if split != "train":
            # Only then is the source asked, which has to be imported for that.
            source = SOURCES.load(entry["source"])
            if split not in source.split_names(entry.get("options", {})):
                yield f"{where}.split is {split}, which {dataset} does not have; take train."
        if search.get("criterion") == "ground_truth" and not has_masks(study, dataset):
            yield (
                f"{where}.criterion is ground_truth, which needs masks, but {dataset} has none; "
                "take without_truth."
            )
