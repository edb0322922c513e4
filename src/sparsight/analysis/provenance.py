"""Where the tables of a study come from."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from sparsight.io.atomic import write_json
from sparsight.io.provenance import provenance


def write_study_provenance(
    provenances: Iterable[Path], output: Path, settings: Mapping[str, Any], code: str
) -> None:
    """Gather the provenance of all checkpoints into one file, each distinct value once.

    Parameters
    ----------
    provenances : `provenance.json` of every checkpoint.
    output : the study's `provenance.json`: commit and versions of the summary, the whole
        configuration, and under `checkpoints` the distinct commits, data hashes, code versions,
        devices, versions and seeds, whether any ran from uncommitted changes, and the sum of
        seconds.
    settings : the configuration.
    code : content hash of the summary's code.
    """
    parts = [json.loads(Path(path).read_text(encoding="utf-8")) for path in provenances]

    def distinct(key: str) -> list[Any]:
        texts = sorted({json.dumps(part[key], sort_keys=True) for part in parts})
        return [json.loads(text) for text in texts]

    seconds = sum(part["seconds"] for part in parts)
    whole = provenance(settings, code, seconds, device="see checkpoints")
    keys = ("commit", "dirty", "code_version", "data_hash", "device", "seed", "versions")
    checkpoints = {key: distinct(key) for key in keys}
    write_json(output, {**whole, "checkpoints": {"count": len(parts), **checkpoints}})
