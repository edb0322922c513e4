"""The tables of a finished study as pandas DataFrames."""

from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sparsight.analysis.tables import TABLES, read
from sparsight.io.errors import InputError
from sparsight.io.files import read_json
from sparsight.metrics.registry import AGREEMENT, METRICS
from sparsight.registration import Registry, UnknownName

if TYPE_CHECKING:
    import pandas as pd

#: what a study's provenance says of its networks, beyond their seeds
_ORIGIN = ("commit", "device", "data_hash", "code_version", "versions")


class Results(Mapping[str, "pd.DataFrame"]):
    """Name to table, as a mapping or by attributes: `results["levels"]` is `results.levels`.

    A table is read when it is first asked for. Its `attrs` hold `path`, `about` (what it holds),
    `keys` (the columns that name a row), `units`, `directions` ("higher" or "lower" is better) and
    `meanings` by column, and `metrics`: the unit and direction of each of its metrics.

    `files` are by name; the `configuration` of the study ({} where it is not known) says what
    metrics' names stand for. `origin` says what its networks were made with: each distinct commit,
    device, data hash, and version of libraries and stages.
    """

    def __init__(
        self,
        files: Mapping[str, Path],
        configuration: Mapping[str, Any],
        origin: Mapping[str, Any] | None = None,
    ) -> None:
        self._files = dict(files)
        self.configuration = configuration
        self.origin = origin or {}
        self._read: dict[str, pd.DataFrame] = {}

    def __getitem__(self, name: str) -> "pd.DataFrame":
        if name not in self._read:
            table, path = TABLES[name], self._files[name]
            frame = read(name, path)
            frame.attrs = {
                "path": str(path),
                "about": table.about,
                "keys": list(table.keys),
                "units": {column.name: column.unit for column in table.columns if column.unit},
                "directions": {c.name: c.direction for c in table.columns if c.direction},
                "meanings": {column.name: column.meaning for column in table.columns},
            }
            if "metric" in frame:
                named = [str(metric) for metric in frame["metric"].unique()]
                known = self._agreement if name == "agreement" else self._metrics
                frame.attrs["metrics"] = {metric: known.get(metric, {}) for metric in named}
            self._read[name] = frame
        return self._read[name]

    def __getattr__(self, name: str) -> "pd.DataFrame":
        if name.startswith("_") or name not in self._files:
            raise AttributeError(f"no table '{name}' here; there are {', '.join(self._files)}")
        return self[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._files)

    def __len__(self) -> int:
        return len(self._files)

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self._files]

    def __repr__(self) -> str:
        width = max(map(len, self._files))
        return "\n".join(f"{name:{width}}  {TABLES[name].about}" for name in self._files)

    @cached_property
    def _metrics(self) -> dict[str, dict[str, str]]:
        accuracy = {"unit": "share, 0 to 1", "direction": "higher"}
        return {"accuracy": accuracy, **self._facts("metrics", METRICS)}

    @cached_property
    def _agreement(self) -> dict[str, dict[str, str]]:
        return self._facts("agreement", AGREEMENT)

    def _facts(self, kind: str, registry: Registry) -> dict[str, dict[str, str]]:
        """Configured name to unit and direction; a name that is none stands for itself."""
        entries = self.configuration.get("catalogue", {}).get(kind, {})
        methods = {name: name for name in registry.entries}
        methods |= {name: str(entry.get("method", name)) for name, entry in entries.items()}
        found: dict[str, dict[str, str]] = {}
        for name, method in methods.items():
            try:
                facts = registry.facts(method)
            except UnknownName:
                continue
            # an adapter lists the directions of metrics of another library
            listed = facts.get("foreign_facts", {}).get(method.partition(".")[2], ("", ""))
            direction = facts.get("direction", "") or str(listed[1])
            found[name] = {"unit": facts.get("unit", ""), "direction": direction}
        return found


def load_results(folder: Path | str) -> Results:
    """The tables that a study has written.

    >>> results = load_results("results/digits")            # doctest: +SKIP
    >>> results.correlations.query("seed == 'mean'")        # doctest: +SKIP
    >>> results.levels.attrs["units"]["accuracy"]           # doctest: +SKIP
    'share, 0 to 1'

    `folder` is that of a study, or one that holds the tables themselves (CSV or parquet), such as
    "results/reference/thesis_mnist". An `InputError` where there is no table; a damaged one is
    refused when it is asked for.
    """
    place = Path(folder)
    summary = place / "summary" if (place / "summary").is_dir() else place
    paths = [summary / f"{name}{suffix}" for name in TABLES for suffix in (".parquet", ".csv")]
    files = {path.stem: path for path in paths if path.is_file()}
    if not files:
        raise InputError(f"{place} holds no tables of a study; give its folder, results/NAME")
    provenance = summary / "provenance.json"
    facts = read_json(provenance) if provenance.is_file() else {}
    known = facts.get("checkpoints", {})
    origin = {key: known[key] for key in _ORIGIN if key in known}
    return Results(files, facts.get("settings", {}), origin)
