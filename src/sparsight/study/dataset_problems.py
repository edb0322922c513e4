"""Options that a data source itself refuses, asked of it before any job starts."""

from collections.abc import Iterator, Mapping
from typing import Any

from sparsight.data.registry import SOURCES
from sparsight.io.errors import InputError
from sparsight.study.plan import Study
from sparsight.study.storage import (
    available_images,
    class_names,
    has_concepts,
    has_masks,
    has_parts,
    shape_of_images,
)


def dataset_problems(config: Mapping[str, Any]) -> Iterator[str]:
    """One sentence for each data set that is prepared and that its source cannot give.

    Whatever plans with a data set asks its source the same questions, and may take answers for
    granted after this.
    """
    study = Study(config)
    for dataset in study.prepared_datasets():
        if dataset not in study.catalogue["datasets"]:
            # another sentence says that the name is unknown
            continue
        try:
            for question in (
                shape_of_images,
                available_images,
                has_masks,
                has_parts,
                has_concepts,
                _varying_classes,
            ):
                question(study, dataset)
        except InputError as error:
            yield f"catalogue.datasets.{dataset}.options: {error}."


def _varying_classes(study: Study, dataset: str) -> None:
    """Ask for the classes, where options decide them: other sources need not be imported for it."""
    source = study.catalogue["datasets"][dataset]["source"]
    if "class_count" in SOURCES.facts(source).get("varying", ()):
        class_names(study, dataset)
