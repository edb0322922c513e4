"""Paths in the configuration: which keys hold them, and what they stand for on this machine."""

import os
import re
from collections.abc import Iterator, Mapping
from typing import Any

from sparsight.io.errors import InputError
from sparsight.io.files import expanded
from sparsight.study.starts import WORDS

Config = Mapping[str, Any]
# Braces would be wildcards of Snakemake, which the schema refuses in what is written.
_UNUSABLE = re.compile(r"[{}\x00-\x1f]")


def with_paths(config: Config, environ: Mapping[str, str] = os.environ) -> dict[str, Any]:
    """A copy with `~` and variables replaced in all paths: `data_folder`, `initial_weights`.

    Parameters
    ----------
    config : valid by the schema. Paths that cannot be expanded stay: see `path_problems`.
    """
    found, models = dict(config), dict(config["catalogue"]["models"])
    for key, path in _paths(config):
        try:
            value = expanded(path, key, environ)
        except InputError:
            continue
        if key == "data_folder":
            found[key] = value
        else:
            model = key.split(".")[2]
            models[model] = {**models[model], "initial_weights": value}
    return {**found, "catalogue": {**config["catalogue"], "models": models}}


def path_problems(config: Config, environ: Mapping[str, str] = os.environ) -> Iterator[str]:
    """One sentence for each path that cannot be expanded, or that Snakemake would misread then."""
    for key, path in _paths(config):
        try:
            value = expanded(path, key, environ)
        except InputError as error:
            yield f"{error}."
            continue
        if key == "data_folder" and _UNUSABLE.search(value):
            yield f"{key} is {path}, which is {value!r} here; choose a path without braces."


def _paths(config: Config) -> Iterator[tuple[str, str]]:
    if "data_folder" in config:
        yield "data_folder", config["data_folder"]
    for model, entry in config["catalogue"]["models"].items():
        given = entry.get("initial_weights", WORDS[0])
        if given not in WORDS:
            yield f"catalogue.models.{model}.initial_weights", given
