"""The tables that a finished study wrote."""

from sparsight.analysis.tables import TABLES, read


def test_every_table_of_the_tiny_study_conforms(finished_once):
    summary = finished_once.folder / "results" / "tiny" / "summary"
    found = [path for path in summary.iterdir() if path.suffix in (".csv", ".parquet")]
    assert len(found) > 8
    for path in found:
        assert path.name == TABLES[path.stem].file
        frame = read(path.stem, path)
        assert list(frame.columns) == TABLES[path.stem].names
        assert not frame.duplicated(list(TABLES[path.stem].keys)).any()
