"""Which version of its code a job ran: what re-runs it when numbers change, and only then.

A stage is a piece of the workflow whose numbers change together: training, explaining, scoring, a
table, a figure. Beside its code stands `VERSION = 1`, to be raised when its numbers change; a
registered item (an explainer, a metric, a criterion) states its own as the class attribute
`version`. Both are among a job's params, so that raising one re-runs the jobs that use it, and a
reworded message, a moved module or a faster loop re-runs nothing. `tests/golden` holds numbers of
every stage and names the version to raise where they change.

`--config track_code=true` adds the content hash of the code (`code_version`), for developers who
want every edit to re-run what it touches.
"""

import ast
import functools
import importlib.util
from collections.abc import Iterable
from pathlib import Path

from sparsight.io.errors import InputError
from sparsight.registration import Item

#: beside the stages, with `track_code`: the hash of the code
CODE = "code"
#: stage to the module that states its VERSION, or `module:NAME` where a module has several
STAGES = {
    "fetching": "sparsight.data.packing:FETCHING_VERSION",
    "packing": "sparsight.data.packing",
    "weights": "sparsight.models.weights",
    "training": "sparsight.training.loop",
    "pruning": "sparsight.pruning.rounds",
    "explaining": "sparsight.explain.run",
    "scoring": "sparsight.metrics.run",
    "agreement": "sparsight.metrics.run:AGREEMENT_VERSION",
    "conversion": "sparsight.pruning.conversion",
    "features": "sparsight.concepts.features",
    "concepts": "sparsight.concepts.run",
    "sample_pruning": "sparsight.spade.copies",
    "sparsity_search": "sparsight.spade.search",
    "visualisation": "sparsight.spade.visualisation",
    "toy": "sparsight.spade.toy",
    "summary": "sparsight.analysis.summarise",
    "agreement_table": "sparsight.analysis.agreement",
    "curves_table": "sparsight.analysis.step_curves",
    "concepts_table": "sparsight.analysis.concepts",
    "sample_pruning_table": "sparsight.analysis.sample_pruning",
    "resampling": "sparsight.analysis.resample",
    "contrasts": "sparsight.analysis.contrasts",
    "correctness": "sparsight.analysis.contrasts:CORRECTNESS_VERSION",
    "correlations": "sparsight.analysis.correlate",
    "strata": "sparsight.analysis.contrasts:STRATA_VERSION",
    "claims": "sparsight.analysis.claims.decide",
    "costs": "sparsight.analysis.costs",
    "provenance": "sparsight.analysis.provenance",
    "concept_tables_page": "sparsight.plots.pages:CONCEPT_TABLES_PAGE_VERSION",
    "guide_page": "sparsight.plots.pages:GUIDE_PAGE_VERSION",
    "figure_accuracy": "sparsight.plots.accuracy",
    "figure_agreement": "sparsight.plots.agreement",
    "figure_claims": "sparsight.plots.claims",
    "figure_concept_sheet": "sparsight.plots.concept_sheet",
    "figure_concepts": "sparsight.plots.concepts",
    "figure_contrasts": "sparsight.plots.contrasts",
    "figure_conversion": "sparsight.plots.conversion",
    "figure_correctness": "sparsight.plots.contrasts:CORRECTNESS_VERSION",
    "figure_correlation_table": "sparsight.plots.correlations:CORRELATION_TABLE_VERSION",
    "figure_correlations": "sparsight.plots.correlations",
    "figure_curves": "sparsight.plots.step_curves",
    "figure_heatmaps": "sparsight.plots.heatmaps",
    "figure_metric": "sparsight.plots.metric",
    "figure_sample_pruning": "sparsight.plots.sample_pruning",
    "figure_strata": "sparsight.plots.contrasts:STRATA_VERSION",
    "figure_toy": "sparsight.plots.toy",
    "figure_visualisation": "sparsight.plots.visualisation_sheet",
}


class Versions:
    """Versions of stages and items, read from the source without importing it.

    Every file is read once in the life of the object: one planning sees one state of the code.
    """

    def __init__(self) -> None:
        self._stage = functools.cache(_stated)

    def __call__(self, stages: Iterable[str], items: Iterable[Item] = ()) -> dict[str, int | str]:
        """Name of each stage and item to its version.

        Parameters
        ----------
        stages : keys of `STAGES`, or modules of your own that state a VERSION.
        items : what the job's settings name, as `Registry.item` gives it.

        Returns
        -------
        Stage to its number; kind and name of an item (`explainer saliency`) to the name of its
        class and its number (`Saliency 1`), so that another class behind a name is another version.

        Raises
        ------
        InputError
            When a module states no version, or another than a whole number from 1.
        """
        found: dict[str, int | str] = {
            stage: self._stage(STAGES.get(stage, stage)) for stage in stages
        }
        for item in items:
            found[f"{item.kind} {item.name}"] = f"{item.attribute} {item.version}"
        return found


def _stated(place: str) -> int:
    module, _, name = place.partition(":")
    name = name or "VERSION"
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise InputError(f"there is no module {module}; correct STAGES in {__name__}")
    for node in ast.parse(Path(spec.origin).read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and any(
            isinstance(target, ast.Name) and target.id == name for target in node.targets
        ):
            version = ast.literal_eval(node.value)
            if type(version) is int and version > 0:
                return version
    raise InputError(f"{spec.origin} must state {name}, a whole number from 1")
