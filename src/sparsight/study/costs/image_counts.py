"""How many images the splits of a data set hold, before anything is packed."""

from collections.abc import Mapping
from typing import Any

from sparsight.data.registry import SOURCES
from sparsight.io.errors import InputError
from sparsight.study.bases import TROJANED
from sparsight.study.plan import Study
from sparsight.study.storage import available_images


class ImageCounts:
    """Images of each split of a study's data sets.

    Parameters
    ----------
    study : of a validated configuration.
    given : data set to split to images; for data sets whose files hold a part of the images, and
        for sources that do not say how many they have.

    Raises
    ------
    InputError
        When images are given of a data set that the study does not have.
    """

    def __init__(self, study: Study, given: Mapping[str, Mapping[str, int]] | None = None) -> None:
        self.study = study
        self.given = dict(given or {})
        for name in self.given:
            if name not in study.prepared_datasets():
                raise InputError(
                    f"Images are given of '{name}', which {study.name} does not have; it has "
                    + ", ".join(study.prepared_datasets())
                )

    def split(self, dataset: str, split: str) -> int:
        """Images of a split: train, validation or test; exact but for shares of drawn splits.

        Raises
        ------
        InputError
            For a source whose number of images is not known.
        """
        if dataset in self.given:
            return int(self.given[dataset].get(split, 0))
        if split == "test":
            return available_images(self.study, dataset)
        source, options = self._source(dataset)
        wanted = options.get("split", {})
        wanted = wanted if isinstance(wanted, Mapping) else {}
        training = wanted.get("train") or self._original(dataset, source)
        share = wanted.get("validation", 0)
        if isinstance(options.get("validation"), Mapping):
            share = options["validation"].get("share", 0)
        validation = round(share * training) if 0 < share < 1 else int(share)
        if split == "validation":
            return validation
        if "train" in wanted:
            return int(training)
        limit = options.get("train_images", "all")
        return (
            min(training - validation, limit) if isinstance(limit, int) else training - validation
        )

    def all(self, dataset: str) -> int:
        """Images of all splits."""
        return sum(self.split(dataset, split) for split in ("train", "validation", "test"))

    def _source(self, dataset: str) -> tuple[str, Mapping[str, Any]]:
        """Source and options of a data set, those of its base where it has one."""
        entry = self.study.catalogue["datasets"][dataset]
        if entry["source"] == TROJANED:
            entry = entry["options"]["base"]
        return str(entry["source"]), entry.get("options", {})

    def _original(self, dataset: str, source: str) -> int:
        """Original images that are not in the test split."""
        whole, official = SOURCES.facts(source).get("original_images", (0, 0))
        if not whole:
            raise InputError(
                f"nothing says how many training images {dataset} has; give them as images: "
                f"{{{dataset}: {{train: ..., validation: ..., test: ...}}}} in a file (--images)"
            )
        return int(whole) - int(official or available_images(self.study, dataset))
