"""Where the tables of a study come from."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from sparsight.io.errors import InputError
from sparsight.io.files import read_json, remedy, write_json
from sparsight.io.provenance import provenance, sha256_of

#: of the stage `provenance`: see `sparsight.study.versions`
VERSION = 1

_DISTINCT = ("commit", "dirty", "code_version", "data_hash", "device", "seed", "versions")


def write_study_provenance(
    provenances: Iterable[Path],
    files: Iterable[Path],
    output: Path,
    settings: Mapping[str, Any],
    version: Mapping[str, Any],
) -> None:
    """Gather the provenance of all checkpoints into one file, each distinct value once.

    Parameters
    ----------
    provenances : `provenance.json` of every checkpoint.
    files : tables, figures and pages of the study.
    output : `summary/provenance.json` of the study: commit and versions of the summary, the whole
        configuration, and under `checkpoints` the distinct commits, data hashes, code versions,
        devices, versions and seeds, whether any ran from uncommitted changes, and the sum of
        seconds. `files` holds the SHA-256 of `files` and of `provenances`, by their paths in the
        study's folder; the latter hold those of their checkpoints.
    settings : the configuration.
    version : versions of the stages that the summary ran.

    Raises
    ------
    InputError
        When a file is missing, or a provenance is corrupt.
    """
    paths = [Path(path) for path in provenances]
    parts = [_read(path) for path in paths]

    def distinct(key: str) -> list[Any]:
        texts = sorted({json.dumps(part[key], sort_keys=True) for part in parts})
        return [json.loads(text) for text in texts]

    study = output.parent.parent
    hashes = {_name(path, study): sha256_of(path) for path in [*paths, *map(Path, files)]}
    seconds = sum(part["seconds"] for part in parts)
    whole = provenance(settings, version, seconds, device="see checkpoints", files=hashes)
    checkpoints = {key: distinct(key) for key in _DISTINCT}
    write_json(output, {**whole, "checkpoints": {"count": len(parts), **checkpoints}})


def _read(path: Path) -> dict[str, Any]:
    content = read_json(path)
    missing = [key for key in (*_DISTINCT, "seconds") if key not in content]
    if missing:
        raise InputError(f"{path} has no '{missing[0]}'; {remedy(path)}")
    return content


def _name(path: Path, study: Path) -> str:
    if not path.is_file():
        raise InputError(f"{path} does not exist; run snakemake again to make it")
    return path.relative_to(study).as_posix()
