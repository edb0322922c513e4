"""Data sets of the catalogue that are made from another one, by name."""

from collections.abc import Iterator, Mapping
from typing import Any

from sparsight.data.registry import SOURCES
from sparsight.registration import Item
from sparsight.study.phrases import unknown_name

#: source of the data sets that have a base
TROJANED = "trojaned"
#: what a data set takes from its base, with the values of one that gives none
_SHARED: dict[str, Any] = {"noise": {"maximum": 0, "seed": 0}, "subset_seed": 0}


def with_bases(config: Mapping[str, Any]) -> dict[str, Any]:
    """A copy in which data sets with `base` and `trojan` have `source` and `options`, as all have.

    Noise and subset are the base's where the data set gives none. Data sets whose base is no data
    set that one can be made from stay as they are: `base_problems` says what is wrong.
    """
    known = config["catalogue"]["datasets"]
    wrong = {name for name, _ in _problems(known)}
    datasets = {
        name: {**_SHARED, **_resolved(entry, known)} if name not in wrong else entry
        for name, entry in known.items()
    }
    return {**config, "catalogue": {**config["catalogue"], "datasets": datasets}}


def _resolved(entry: Mapping[str, Any], known: Mapping[str, Any]) -> Mapping[str, Any]:
    if "base" not in entry:
        return entry
    base = known[entry["base"]]
    inherited = {key: base[key] for key in _SHARED if key in base}
    own = {key: value for key, value in entry.items() if key not in ("base", "trojan")}
    images = {"options": base.get("options", {}), "source": base["source"]}
    options = {"base": images, "trojan": entry["trojan"]}
    return {**inherited, **own, "options": options, "source": TROJANED}


def base_problems(config: Mapping[str, Any]) -> Iterator[str]:
    """One sentence for each base that a data set cannot be made from."""
    for _, problem in _problems(config["catalogue"]["datasets"]):
        yield problem


def _problems(known: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    for name, entry in known.items():
        where = f"catalogue.datasets.{name}"
        if "base" not in entry:
            if "trojan" in entry:
                yield name, f"{where} has a trojan but no base; name the data set it is planted in."
            continue
        base = entry["base"]
        given = [key for key in ("source", "options") if entry.get(key)]
        if given:
            yield name, f"{where} has both base and {given[0]}; leave one of them."
        elif base not in known:
            yield name, unknown_name("data set", f"{where}.base", base, known)
        elif "base" in known[base] or known[base]["source"] == TROJANED:
            yield name, f"{where}.base: {base} has a trojan itself; name a data set without one."


def source_and_options(entry: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Whose original files a data set is made from, and with which options: its base's, if any.

    Parameters
    ----------
    entry : of the catalogue, as `with_bases` gives it.
    """
    if entry["source"] != TROJANED:
        return entry["source"], dict(entry.get("options", {}))
    base = {**SOURCES.facts(TROJANED)["parameters"]["base"], **entry["options"].get("base", {})}
    return base["source"], dict(base.get("options") or {})


def source_items(entry: Mapping[str, Any]) -> list[Item]:
    """A data set's source, and the source whose images it takes."""
    names = dict.fromkeys([entry["source"], source_and_options(entry)[0]])
    return [SOURCES.item(name) for name in names]


def without_mirrors(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options of a source but from where its files come, which changes nothing in them."""
    found = {key: value for key, value in options.items() if key != "mirrors"}
    base = found.get("base")
    if isinstance(base, Mapping) and "options" in base:
        found["base"] = {**base, "options": without_mirrors(base["options"])}
    return found
