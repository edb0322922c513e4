"""Are the files that a study starts from there, and those of its configuration?"""

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sparsight.data.location import (
    DATA_VARIABLE,
    changed_since,
    check_shared_folder,
    find_folder,
    places,
    raw_folder,
)
from sparsight.data.packed_settings import other_settings
from sparsight.data.registry import SOURCES
from sparsight.io.entries import header_metadata
from sparsight.io.errors import InputError
from sparsight.io.files import PACKAGE, package_file, remedy
from sparsight.study.configuration import source_and_options
from sparsight.study.plan import DENSE, WORDS, Study

#: missing files that a message names
_NAMED = 10


def environment_problems(environ: Mapping[str, str] = os.environ) -> Iterator[str]:
    """One error message where `$SPARSIGHT_DATA` is set and names no folder."""
    try:
        check_shared_folder(environ)
    except InputError as error:
        yield f"{error}."


def original_file_problems(
    study: Study, environ: Mapping[str, str] = os.environ
) -> Iterator[tuple[str, str]]:
    """Each data set whose files are not here and cannot be downloaded, with an error message.

    Their owners give them out only to who asks for them (`Source.downloadable` is False), or the
    configuration names no mirrors. A data set that was found before, as its manifest below the data
    folder says, is not looked for.
    """
    data_folder = Path(study.config["data_folder"])
    for dataset in study.prepared_datasets():
        if (data_folder / "fetched" / f"{dataset}.json").is_file():
            continue
        name, options = source_and_options(study.catalogue["datasets"][dataset])
        facts = SOURCES.facts(name)
        by_hand = not facts.get("downloadable", True)
        if not by_hand and options.get("mirrors") != []:
            # It is downloaded where it is missing; most sources need not be imported for that.
            continue
        source = SOURCES.load(name)()
        if not (wanted := source.folder_of(options)):
            continue
        where = f"catalogue.datasets.{dataset}"
        others = source.other_folders
        if by_hand:
            try:
                # With nothing to download, fetching is a look at the files.
                source.fetch(options, raw_folder(wanted, data_folder, environ, others))
            except InputError as error:
                yield dataset, f"{where}: {error}."
        elif find_folder(wanted, data_folder, environ, others) is None and not any(
            any(place.glob(f"{wanted}*")) for place in places(data_folder, environ)
        ):
            yield (
                dataset,
                f"{where}.options.mirrors is empty, and there is no {wanted} in {data_folder} or "
                f"${DATA_VARIABLE}; put the original files there, or name a mirror.",
            )


def weights_problems(study: Study, results: Path) -> Iterator[str]:
    """An error message for each model and pruner of which files are missing and still needed.

    Files of initial weights, and of levels that another tool has made. Networks that have started
    and levels that are there, as the folder `results` shows, need their files no more.
    """
    wanted: dict[str, list[str]] = {}
    unusable: dict[str, str] = {}
    for place in study.places():
        network = results / place.dataset / place.model / f"seed{place.seed}"
        if place.pruner == DENSE:
            key, made = f"models.{place.model}.initial_weights", network / "start.safetensors"
            given = study.initial_weights(place.model, place.seed)
            files = [] if given in WORDS else [given]
        elif study.is_given(place.pruner):
            key = f"pruners.{place.pruner}.given"
            made = network / place.pruner / f"level{place.level:02d}" / "checkpoint.safetensors"
            files = study.given_files(place.pruner, place.level, place.seed)
        else:
            continue
        if made.is_file():
            continue
        for file in files:
            if place.pruner != DENSE or not file.startswith(PACKAGE):
                wanted.setdefault(f"catalogue.{key}", []).append(file)
                continue
            try:
                package_file(file)
            except InputError as error:
                unusable[f"catalogue.{key}"] = str(error)
    for key, reason in unusable.items():
        yield f"{key}: {reason}."
    for key, paths in wanted.items():
        missing = [path for path in dict.fromkeys(paths) if not Path(path).is_file()]
        if missing:
            more = len(missing) - _NAMED
            what = "does not exist" if len(missing) == 1 else "do not exist"
            yield (
                f"{key}: {', '.join(missing[:_NAMED])}{f' and {more} more' if more > 0 else ''} "
                f"{what}; put the files there, or correct the path."
            )


def data_warnings(data_folder: str, announced: str) -> Iterator[str]:
    """What Snakemake cannot notice: data packed for another study, original files that changed.

    Each with its remedy. Only warnings: whether data are packed again is Snakemake's decision,
    which comes later. Jobs that open data with other settings stop.

    `announced` is what `sparsight.data.packed_settings.settings_text` gave.
    """
    datasets: Mapping[str, Mapping[str, Any]] = json.loads(announced)
    for name, wanted in datasets.items():
        folder, manifest = f"{data_folder}/packed/{name}", f"{data_folder}/fetched/{name}.json"
        metadata = header_metadata(f"{folder}/test.safetensors")
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
