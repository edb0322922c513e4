"""Do explanations of hard images change more than those of easy ones?"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from sparsight.analysis.contrasts import contrast_rows, write_contrasts
from sparsight.analysis.multiplicity import FAMILY
from sparsight.analysis.networks import Networks, networks_by_subset
from sparsight.analysis.resampled import read_curves, read_explainers
from sparsight.analysis.subsets import STRATA

#: of the stage `strata`: see `sparsight.study.versions`
VERSION = 1

GAP = "hard_minus_easy"


def stratify(statistics: Iterable[Path], output: Path, settings: Mapping[str, Any]) -> None:
    """Write `strata.csv` from the statistics of all chains of a study.

    Rows and columns are those of `sparsight.analysis.contrasts.contrast`, for the subsets `hard`,
    `medium` and `easy` (thirds of the images by the *dense* network's margin, the same images at
    every level of a chain) and for `hard_minus_easy`. There `mean` is that of the hard minus that
    of the easy images of each network, and `difference` is how much more the hard images changed
    from level 0 than the easy ones: 0 where both changed alike.

    `p_adjusted` is Benjamini-Hochberg within data set, model and pruner, controls not counted. The
    rows `hard_minus_easy` ask another question than the strata and are a family of their own.

    Parameters
    ----------
    statistics : `statistics.parquet` of each chain, in any order.
    output : the table.
    settings : `controls` (explainers that are controls), `statistics` (with `confidence`).

    Raises
    ------
    InputError
        When files are missing, corrupt, or do not belong together.
    """
    paths = [Path(path) for path in statistics]
    confidence = float(settings["statistics"]["confidence"])
    rows = [
        {**names, "subset": subset, "is_gap": subset == GAP, **row}
        for explainer in read_explainers(paths)
        for names, found in networks_by_subset(read_curves(paths, [explainer]), STRATA)
        for subset, values, changes in _strata(found)
        for row in contrast_rows(values, changes, confidence)
    ]
    write_contrasts(rows, output, settings["controls"], (*FAMILY, "is_gap"))


def _strata(found: Mapping[str, Networks]) -> Iterator[tuple[str, Networks, Networks]]:
    """Each stratum and the gap between them: values and changes from level 0."""
    changes = {name: networks.against_dense() for name, networks in found.items()}
    for name, networks in found.items():
        yield name, networks, changes[name]
    hard, easy = STRATA[0], STRATA[-1]
    if hard in found and easy in found:
        yield GAP, found[hard].minus(found[easy]), changes[hard].minus(changes[easy])
