"""The page of verdicts across studies."""

import math
from pathlib import Path
from typing import Any

import pandas as pd

from sparsight.analysis.tables import TABLES, write
from sparsight.plots.verdicts import HEADS, verdict_cells, write_verdicts

ROW: dict[str, Any] = {
    "study": "mine",
    "scale": "reduced",
    "claim": "It grows.",
    "published": 0.0366,
    "estimate": 0.0021,
    "low": -0.0017,
    "high": 0.0058,
    "n_seeds": 3.0,
    "n_images": 2000.0,
    "pooled": False,
    "verdict": "open",
    "verdict_reason": "5 networks would decide it",
}


def test_cells() -> None:
    assert dict(zip(HEADS, verdict_cells(ROW), strict=True)) == {
        "study": "mine",
        "claim": "It grows.",
        "published": "0.0366",
        "estimate": "0.0021",
        "interval": "−0.0017 to 0.0058",
        "networks × images": "3 × 2,000",
        "scale": "reduced",
        "verdict": "open: 5 networks would decide it",
    }
    for images in (1.0, math.nan):
        assert verdict_cells({**ROW, "n_images": images})[5] == "3"
    assert verdict_cells({**ROW, "n_images": math.nan, "pooled": True})[5] == "3, pooled"
    assert verdict_cells({**ROW, "n_seeds": math.nan})[5] == "–"
    assert verdict_cells({**ROW, "verdict_reason": ""})[-1] == "open"


def test_a_study_is_shown_beside_the_references(tmp_path: Path) -> None:
    kinds = {"str": "", "float64": math.nan, "int64": 3, "Int64": 200}
    row = {column.name: kinds[column.dtype] for column in TABLES["claims"].columns}
    files = {name: tmp_path / name / "claims.csv" for name in ("mine", "thesis_mnist")}
    for name, path in files.items():
        path.parent.mkdir()
        own = {"name": "a", "claim": f"<{name}>", "tier": "primary", "verdict": f"of {name}"}
        write("claims", path, pd.DataFrame([{**row, **own}]))
    write_verdicts(files["mine"], files.values(), tmp_path / "page.html", {"study": "mine"})
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    # once each, escaped, one's own first
    assert page.count("&lt;mine&gt;") == page.count("&lt;thesis_mnist&gt;") == 1
    assert page.index("of mine") < page.index("of thesis_mnist")
