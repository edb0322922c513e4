"""Where the tables of a study come from."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from sparsight.io.errors import InputError
from sparsight.io.files import read_json, remedy, write_json
from sparsight.io.provenance import last_change, provenance, sha256_of

#: of the stage `provenance`: see `sparsight.study.versions`
VERSION = 2

_DISTINCT = ("commit", "dirty", "code_version", "data_hash", "device", "seed", "versions")


def write_study_provenance(
    provenances: Iterable[Path],
    files: Iterable[Path],
    output: Path,
    settings: Mapping[str, Any],
    version: Mapping[str, Any],
    study_files: Iterable[Path] = (),
) -> None:
    """Gather the `provenance.json` of all checkpoints into that of the study, in `summary/`.

    It holds commit and `version` (of the stages) of the summary, the configuration (`settings`),
    the sum of seconds, and under `checkpoints` each distinct commit, data hash, code version,
    device, version and seed, and whether any ran from uncommitted changes. `claims` has, for
    each of `study_files` (with the study's claims) and each commit at which networks ran, the
    commit that had last changed the file: what was claimed before there was any result. `files` are
    the SHA-256
    of tables, figures and pages and of `provenances`, by their paths in the study's folder; the
    latter hold those of their checkpoints. An `InputError` where a file is missing, or a provenance
    is corrupt.
    """
    paths = [Path(path) for path in provenances]
    parts = [read_json(path) for path in paths]
    for path, part in zip(paths, parts, strict=True):
        missing = [key for key in (*_DISTINCT, "seconds") if key not in part]
        if missing:
            raise InputError(f"{path} has no '{missing[0]}'; {remedy(path)}")
    hashes: dict[str, str] = {}
    for path in [*paths, *map(Path, files)]:
        if not path.is_file():
            raise InputError(f"{path} does not exist; run snakemake again to make it")
        hashes[path.relative_to(output.parent.parent).as_posix()] = sha256_of(path)
    distinct = {
        key: [json.loads(t) for t in sorted({json.dumps(p[key], sort_keys=True) for p in parts})]
        for key in _DISTINCT
    }
    seconds = sum(part["seconds"] for part in parts)
    whole = provenance(settings, version, seconds, device="see checkpoints", files=hashes)
    runs = [commit for commit in distinct["commit"] if commit]
    claims = {
        Path(path).name: {commit: last_change(path, commit) for commit in runs}
        for path in study_files
    }
    content = {**whole, "claims": claims, "checkpoints": {"count": len(parts), **distinct}}
    write_json(output, content)
