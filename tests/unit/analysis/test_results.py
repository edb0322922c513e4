"""Tables of a study as a notebook sees them."""

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

import sparsight
from sparsight.analysis.tables import TABLES
from sparsight.io.errors import CorruptFile, InputError
from sparsight.io.files import write_json
from tests.tables import write_rows

REFERENCES = Path(__file__).parents[3] / "results" / "reference"
ROW = {"dataset": "digits", "model": "cnn", "pruner": "magnitude", "metric": "iou", "level": 1}


@pytest.mark.parametrize("folder", sorted(p for p in REFERENCES.iterdir() if p.is_dir()))
def test_every_reference_loads(folder):
    results = sparsight.load_results(folder)
    assert set(results) <= set(TABLES)
    assert len(results) >= 6
    for name, frame in results.items():
        assert len(frame)
        assert frame.attrs["about"] == TABLES[name].about
    metrics = results.contrasts.attrs["metrics"]
    assert all(facts["unit"] for facts in metrics.values())
    assert metrics["accuracy"]["direction"] == "higher"


def test_units_and_directions_of_columns_and_configured_metrics(tmp_path):
    write_rows("levels", tmp_path / "summary" / "levels.csv", pd.DataFrame([ROW]))
    write_rows("agreement", tmp_path / "summary" / "agreement.csv",
               pd.DataFrame([{**ROW, "metric": "spearman"}]))  # fmt: skip
    catalogue = {"metrics": {"iou": {"method": "soft_iou"}, "old": {"method": "gone"}}}
    write_json(tmp_path / "summary" / "provenance.json", {"settings": {"catalogue": catalogue}})
    results = sparsight.load_results(tmp_path)
    assert list(results) == ["levels", "agreement"]
    frame = results.levels
    assert frame is results["levels"]
    assert frame["level"].dtype == "int64"
    assert frame.attrs["units"]["accuracy"] == "share, 0 to 1"
    assert frame.attrs["directions"] == {"accuracy": "higher"}
    assert frame.attrs["keys"] == list(TABLES["levels"].keys)
    assert frame.attrs["metrics"] == {"iou": {"unit": "share, 0 to 1", "direction": "higher"}}
    assert results.agreement.attrs["metrics"]["spearman"]["direction"] == "higher"
    assert "levels" in dir(results)
    assert repr(results).splitlines()[0].startswith("levels     Each metric at each level")


def test_what_is_not_there_is_named(tmp_path):
    with pytest.raises(InputError, match="holds no tables of a study"):
        sparsight.load_results(tmp_path)
    write_rows("costs", tmp_path / "costs.csv", pd.DataFrame([{"rule": "prune_level"}]))
    results = sparsight.load_results(tmp_path)
    with pytest.raises(AttributeError, match="no table 'levels' here; there are costs"):
        _ = results.levels
    (tmp_path / "costs.csv").write_text("")
    with pytest.raises(CorruptFile, match="is corrupt"):
        _ = results.costs


def test_the_package_imports_nothing_heavy():
    heavy = "{'numpy', 'pandas', 'torch', 'pyarrow', 'scipy'}"
    code = f"import sys, sparsight; print({heavy} & set(sys.modules), dir(sparsight))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.startswith("set()")
    assert "load_results" in run.stdout
    with pytest.raises(AttributeError, match="has no attribute 'lode_results'"):
        _ = sparsight.lode_results
