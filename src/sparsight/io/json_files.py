"""Reading the small JSON files that jobs leave beside their results."""

import json
from pathlib import Path
from typing import Any

from sparsight.io.errors import CorruptFile, InputError
from sparsight.io.remedies import remedy


def read_json(path: Path | str) -> dict[str, Any]:
    """The object in a JSON file.

    Raises
    ------
    InputError
        When the file is missing.
    CorruptFile
        When it is empty, truncated, or holds something else; one sentence that names it.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path} does not exist; run snakemake again to make it")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise CorruptFile(f"{path} is corrupt (it is no JSON); {remedy(path)}") from error
    if not isinstance(content, dict):
        raise CorruptFile(f"{path} is corrupt (it holds no JSON object); {remedy(path)}")
    return content
