"""Configurations of the project with mistakes in them, drawn by hypothesis."""

import copy
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from sparsight.study.configuration import catalogue_and_study
from sparsight.study.models import json_schema
from sparsight.study.yaml_files import load_yaml

ROOT = Path(__file__).parents[2]
CONFIG = catalogue_and_study(ROOT, own=False)
SCHEMA = json_schema()
STUDIES = {path.stem: load_yaml(path) for path in sorted((ROOT / "studies").glob("*.yaml"))}
Step = str | int
Place = tuple[Step, ...]

#: names that would leave the folder of results, hide in it, or be something else in YAML
NAMES = (
    *("../x", "a/b", "/etc/x", "..", ".", "", " ", "\t", "a b", "a\nb", "x" * 5000, "A", "-x"),
    *("dense", "summary", "figures", "start", "logs", "reference", "explanations", "benchmarks"),
    *("é", "e\u0301", "😀", "名", "\u202egpj", "\u0130", "a\u0000b", "{x}", "{{", "%s", "$HOME"),
    *(
        "digits\n",
        "digits ",
        "__",
        "a__b",
        "_",
        "true",
        "null",
        "1e-3",
        "nan",
        "~",
        "*",
        "&a",
        "con",
        "a.b",
        ".b",
        "b.",
    ),
)
#: values of every type, whole and nested
VALUES = (
    *(None, True, False, "", "text", "12", [], {}, [[]], [{}], [None], {"a": None}, {"": 1}),
    *([1, "a"], {"a": {"b": {"c": []}}}, [[[[1]]]], {"name": "x"}, ["x", "x"], [True, 1], b"bytes"),
)
NUMBERS = (
    *(0, 1, -1, 2, 3, 99, 100, -(10**9), 10**9, 2**31, 2**63, -(2**63), 2**64, 10**400, 1e308),
    *(0.0, -0.0, 0.5, 1.5, -0.5, 1e-300, 5e-324, float("nan"), float("inf"), float("-inf")),
)


def merged(below: Any, above: Any) -> Any:
    """What Snakemake makes of an overlay: mappings merge, all else is replaced."""
    if not (isinstance(below, Mapping) and isinstance(above, Mapping)):
        return above
    return {**below, **{key: merged(below.get(key), above[key]) for key in above}}


def unshared(value: Any) -> Any:
    """A copy in which no two places hold the same list or mapping, as aliases in YAML do.

    A mistake in such a list would be one in all these places.
    """
    if isinstance(value, Mapping):
        return {key: unshared(inner) for key, inner in value.items()}
    return [unshared(inner) for inner in value] if isinstance(value, list) else value


def places(value: Any, place: Place = ()) -> Iterator[Place]:
    """Where every value of a configuration stands, the whole left out."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield (*place, key)
            yield from places(inner, (*place, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield (*place, index)
            yield from places(inner, (*place, index))


def _used(config: Mapping[str, Any]) -> list[Place]:
    """Places outside of the catalogue, and those of the entries that the study uses."""
    chosen = {group: config.get(group, []) for group in config["catalogue"]}
    chosen["sample_pruners"] = config.get("sample_pruning", {}).get("pruners", [])
    return [
        place
        for place in places(config)
        if place[0] != "catalogue" or len(place) < 3 or place[2] in chosen[str(place[1])]
    ]


BELOW = catalogue_and_study(ROOT, own=True)
WHOLE = {
    "config": unshared(CONFIG),
    **{name: unshared(merged(BELOW, study)) for name, study in STUDIES.items()},
}
_PLACES = {name: _used(config) for name, config in WHOLE.items()}


def at(config: Any, place: Place) -> Any:
    """The value that stands at a place."""
    for step in place:
        config = config[step]
    return config


def _misspelt(draw: Callable[..., Any], name: str) -> str:
    """A slip of the pen: a letter left out, doubled, or swapped with the next one."""
    if len(name) < 2:
        return f"{name}x"
    where = draw(st.integers(0, len(name) - 2))
    ways = (
        name[:where] + name[where + 1 :],
        name[:where] + name[where] + name[where:],
        name[:where] + name[where + 1] + name[where] + name[where + 2 :],
        name.upper(),
    )
    return draw(st.sampled_from(ways))


def _replaced_key(above: Any, old: Step, new: Any) -> None:
    items = list(above.items())
    above.clear()
    above.update({new if key == old else key: value for key, value in items})


def _junk(draw: Callable[..., Any], old: Any) -> Any:
    """Something else in the place of a value, often of its own type."""
    if isinstance(old, bool) or old is None or isinstance(old, Mapping):
        return copy.deepcopy(draw(st.sampled_from([*VALUES, *NUMBERS])))
    if isinstance(old, int | float):
        return draw(st.sampled_from([*NUMBERS, *NUMBERS, -old, str(old)[:40], *VALUES]))
    if isinstance(old, list):
        more = [*old, *old], [*old, None], old[:-1], [*reversed(old)], [old], {"0": old}
        return copy.deepcopy(draw(st.sampled_from([*more, *VALUES])))
    if isinstance(old, bytes):
        return old.decode()
    return draw(st.sampled_from([_misspelt(draw, old), *NAMES, *NAMES, [old], {old: old}, 7]))


def _borrowed(draw: Callable[..., Any], config: Any, place: Place) -> Any:
    """A value of the same type from elsewhere in the configuration: combinations."""
    old = at(config, place)
    catalogue = config.get("catalogue")
    if len(place) == 1 and isinstance(catalogue, Mapping) and place[0] in catalogue:
        names = sorted(map(str, catalogue[place[0]] or ()))
        if names:
            return draw(st.lists(st.sampled_from(names), min_size=1, max_size=3, unique=True))
    others = [other for other in places(CONFIG) if type(at(CONFIG, other)) is type(old)]
    same = [other for other in others if other[-1] == place[-1]]
    return copy.deepcopy(at(CONFIG, draw(st.sampled_from(same or others or [("study",)]))))


def _mistake(draw: Callable[..., Any], config: dict[str, Any], place: Place) -> Place | None:
    """Make one mistake in place; where it is, or None where the place is gone."""
    try:
        above, old = at(config, place[:-1]), at(config, place)
    except (LookupError, TypeError):
        return None
    step = place[-1]
    way = draw(st.sampled_from(["junk", "junk", "key", "rename", "remove", "borrow", "add"]))
    if way == "remove":
        del above[step]
    elif way == "borrow":
        above[step] = _borrowed(draw, config, place)
    elif isinstance(above, dict) and way in ("key", "rename"):
        odd = st.sampled_from([*NAMES, 1, None, True, 2.5])
        new = _misspelt(draw, str(step)) if way == "key" else draw(odd)
        _replaced_key(above, step, new)
        step = new
    elif isinstance(above, dict) and way == "add":
        step = draw(st.sampled_from([*NAMES, "sedes", "levells"]))
        above[step] = copy.deepcopy(draw(st.sampled_from([*VALUES, *NUMBERS, old])))
    else:
        above[step] = _junk(draw, old)
    return (*place[:-1], step)


class Mistaken:
    """A configuration with mistakes (some of them harmless), and where they are."""

    def __init__(self, name: str, config: dict[str, Any], places_: list[Place]) -> None:
        self.name, self.config, self.places = name, config, places_
        #: what stood there before, by which other parts of the configuration may call it
        self.missed = [self._before(place) for place in places_]

    def __repr__(self) -> str:
        # The whole of it would be hundreds of lines.
        return f"{self.name} with {[(place, self.given(place)) for place in self.places]}"

    def _before(self, place: Place) -> str:
        try:
            return str(at(WHOLE[self.name], place))
        except (LookupError, TypeError):
            return ""

    def given(self, place: Place) -> str:
        """What stands at a place, shortened; empty where nothing does."""
        try:
            return repr(at(self.config, place))[:80]
        except (LookupError, TypeError):
            return ""


@st.composite
def mistakes(draw: Callable[..., Any], most: int = 1) -> Mistaken:
    """A configuration with one to `most` mistakes."""
    name = draw(st.sampled_from(sorted(WHOLE)))
    config = copy.deepcopy(WHOLE[name])
    wanted = [draw(st.sampled_from(_PLACES[name])) for _ in range(draw(st.integers(1, most)))]
    made = [_mistake(draw, config, place) for place in wanted]
    return Mistaken(name, config, [place for place in made if place is not None])


@st.composite
def combinations(draw: Callable[..., Any]) -> Mistaken:
    """A configuration of other entries of the catalogue, or with several mistakes."""
    mistaken = draw(mistakes(3))
    config = mistaken.config
    for group in draw(st.lists(st.sampled_from(sorted(CONFIG["catalogue"])), max_size=3)):
        if group in config and isinstance(config.get("catalogue"), dict):
            config[group] = _borrowed(draw, config, (group,))
            mistaken.places.append((group,))
    return mistaken
