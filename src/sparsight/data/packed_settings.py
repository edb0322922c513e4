"""Which settings packed data were made with: they are part of the metadata of the packed files.

Studies can share a data folder, and Snakemake knows only what was made in its own working folder.
So every job that opens packed data compares these settings with those of its study
(`sparsight.data.packed.refuse_other_settings`).

Light on purpose: the workflow asks before any job starts, when importing numpy would cost time.
"""

import json
from collections.abc import Mapping
from typing import Any

from sparsight.data.registry import SOURCES

Settings = Mapping[str, Any]
#: The workflow keeps the settings of its study's data sets here, for the jobs that it starts.
PACKED_VARIABLE = "SPARSIGHT_PACKED"
#: of the metadata of a packed file
KEY = "settings"
#: as of `sparsight.data.packing.pack`; 51 / 255 = 0.2: the noise of the MNIST study lies in
#: [0, 0.2] (Lukkien)
NOISE_DEFAULTS: dict[str, Any] = {"maximum": 51, "seed": 0}
#: where the files come from, and where is kept what they tell, which changes nothing in them
_ORIGINS = ("mirrors", "scans")


def content_settings(source: str, parameters: Settings, settings: Settings) -> dict[str, Any]:
    """The settings that decide what the packed files hold, with their defaults.

    `parameters` are those of the data source and their defaults; of `settings`, as `pack` takes
    them, paths and addresses are left out.
    """
    return {
        "source": source,
        **_options(parameters, settings),
        "noise": {**NOISE_DEFAULTS, **settings.get("noise", {})},
        "subset_seed": settings.get("subset_seed", 0),
    }


def _options(parameters: Settings, settings: Settings) -> dict[str, Any]:
    found = {
        key: _with_defaults(default, settings.get(key, default))
        for key, default in parameters.items()
        if key not in _ORIGINS
    }
    base = found.get("base")
    # A data set that is made from another one has that one's source and options.
    if isinstance(base, Mapping) and str(base.get("source")) in SOURCES:
        of_base = SOURCES.facts(base["source"]).get("parameters", {})
        found["base"] = {**base, "options": _options(of_base, base.get("options") or {})}
    return found


def _with_defaults(default: Any, value: Any) -> Any:
    both = isinstance(default, Mapping) and isinstance(value, Mapping)
    return {**default, **value} if both else value


def settings_text(datasets: Mapping[str, Settings]) -> str:
    """What the workflow writes into `SPARSIGHT_PACKED`, of the settings of all data sets."""
    return json.dumps(
        {
            name: content_settings(
                entry["source"], SOURCES.facts(entry["source"])["parameters"], entry
            )
            for name, entry in datasets.items()
        }
    )


def other_settings(metadata: Mapping[str, str], wanted: Settings) -> str:
    """How the settings in a packed file's metadata differ from others; empty where they do not."""
    if KEY not in metadata:
        return "it was packed by an older version, which did not write them down"
    there, here = _flat(json.loads(metadata[KEY])), _flat(wanted)
    missing = "not given"
    return ", ".join(
        f"{key} is {there.get(key, missing)!r} there and {here.get(key, missing)!r} here"
        for key in sorted({*there, *here})
        if there.get(key, missing) != here.get(key, missing)
    )


def _flat(settings: Settings, place: str = "") -> dict[str, Any]:
    """The values by their dotted keys, as JSON has them."""
    found: dict[str, Any] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping) and value:
            found.update(_flat(value, f"{place}{key}."))
        else:
            found[f"{place}{key}"] = list(value) if isinstance(value, tuple) else value
    return found
