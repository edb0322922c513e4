"""Packed data that are there before a study starts: are they those of its configuration?"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from sparsight.data.location import changed_since
from sparsight.data.packed_settings import other_settings, packed_metadata
from sparsight.io.files import remedy


def data_warnings(data_folder: str, announced: str) -> Iterator[str]:
    """What Snakemake cannot notice: data packed for another study, original files that changed.

    Only warnings: whether data are packed again is Snakemake's decision, which comes later. Jobs
    that open data with other settings stop.

    Parameters
    ----------
    data_folder : as in the configuration.
    announced : what `sparsight.data.packed_settings.announced` gave.

    Yields
    ------
    A sentence for each thing, with the remedy.
    """
    datasets: Mapping[str, Mapping[str, Any]] = json.loads(announced)
    for name, wanted in datasets.items():
        folder, manifest = f"{data_folder}/packed/{name}", f"{data_folder}/fetched/{name}.json"
        metadata = packed_metadata(f"{folder}/test.safetensors")
        if metadata is None:
            continue
        if differences := other_settings(metadata, wanted):
            yield (
                f"{folder} was packed with other settings than those of this study "
                f"({differences}). Unless prepare_dataset is among the jobs, another study uses "
                "it: give this one a 'data_folder' of its own."
            )
        for changed in changed_since(manifest):
            yield (
                f"The files in {changed} have changed since {name} was packed from them, and "
                f"nothing is packed again by itself; {remedy(manifest)}"
            )
