"""How many bytes a study writes, by kind of file, from its configuration alone."""

from sparsight.data.registry import SOURCES
from sparsight.study.costs.image_counts import ImageCounts
from sparsight.study.costs.work import StudyWork
from sparsight.study.plan import DENSE, Network, Study
from sparsight.study.storage import has_masks, shape_of_images, stored_bytes

_FLOAT = 4
#: a weight and whether it is pruned, in a checkpoint; at a rewind point, as drawn and as trained
_CHECKPOINT_BYTES, _START_BYTES = 5, 8
#: of a row of scores in a parquet file, about: mostly the value, the rest repeats and shrinks
_ROW_BYTES = 7
#: subsets of images whose draws the statistics keep, about: strata have fewer levels
_SUBSETS = 4


def predicted_bytes(study: Study, counts: ImageCounts, work: StudyWork) -> dict[str, int]:
    """Kind of file to bytes: packed data, checkpoints, explanations, features, scores, statistics.

    Figures, tables and what concept methods keep (crops, pictures) are not counted.
    """
    found = {"packed data": _packed(study, counts), "explanations": stored_bytes(study)}
    for kind in ("checkpoints", "features", "scores", "statistics"):
        found[kind] = 0
    for network in study.networks():
        size, seeds = work.size(network.dataset, network.model), len(network.seeds)
        levels = sum(study.level_count(pruner) for pruner in network.pruners)
        each = (levels + 1) * _CHECKPOINT_BYTES + _START_BYTES
        found["checkpoints"] += seeds * size.parameters * each
        if network.concepts:
            images = counts.all(network.dataset)
            vector = size.features * _FLOAT
            found["features"] += seeds * images * vector * _concept_levels(study, network)
        rows, curves = _scores(study, network, work)
        # once at the checkpoint and once in the study's table
        found["scores"] += 2 * seeds * int(rows * 1e6) * _ROW_BYTES
        draws = study.config["statistics"]["replicates"] * 8 * _SUBSETS
        found["statistics"] += seeds * curves * draws
    return found


def _concept_levels(study: Study, network: Network) -> int:
    pruned = sum(
        study.finds_concepts(pruner, level)
        for pruner in network.pruners
        for level in range(1, study.level_count(pruner) + 1)
    )
    return pruned + study.finds_concepts(DENSE, 0)


def _scores(study: Study, network: Network, work: StudyWork) -> tuple[float, int]:
    """Score rows of a seed in millions, and levels times explainers times metrics of its chains."""
    rows, curves = 0.0, 0
    wild = {"dataset": network.dataset, "model": network.model}
    metrics, families = len(network.metrics), study.families(network)
    for family, names in families.items():
        of_a_level = work.score({**wild, "family": family})["rows"]
        dense = study.explains(family, DENSE, 0)
        rows += of_a_level * dense
        for pruner in network.pruners:
            levels = range(1, study.level_count(pruner) + 1)
            explained = sum(study.explains(family, pruner, level) for level in levels)
            rows += of_a_level * explained
            # each chain begins with the dense level
            curves += (explained + dense) * len(names) * metrics
    return rows, curves


def _packed(study: Study, counts: ImageCounts) -> int:
    whole = 0
    for dataset in study.prepared_datasets():
        channels, height, width = shape_of_images(study, dataset)
        entry = study.catalogue["datasets"][dataset]
        facts = SOURCES.facts(entry["source"])
        parts = len(facts.get("part_names", ()))
        if "part_names" in facts.get("varying", ()):
            source = SOURCES.load(entry["source"])
            parts = len(source.parts_of(entry.get("options", {})))
        noise = channels if entry["noise"]["maximum"] else 0
        planes = channels + noise + has_masks(study, dataset) + parts
        whole += counts.all(dataset) * planes * height * width
    return whole
