"""The page in `docs/` on concept methods."""

from collections.abc import Mapping
from typing import Any

from sparsight.concepts.registry import CONCEPTS
from sparsight.study.reference_text import linked, page, parameters, section, table

_NEEDS = {
    "concept_labels": "concept labels",
    "masks": "masks of objects",
    "part_masks": "masks of parts",
}
_BETTER = {"higher": "higher", "lower": "lower", "": ""}


def concept_page() -> str:
    """The page's parts, joined: Markdown."""
    facts = {name: CONCEPTS.facts(name) for name in sorted(CONCEPTS.entries)}
    rows = [(f"[`{name}`](#{name})", _needs(of), _count(of)) for name, of in facts.items()]
    return page(
        "Concepts",
        "A concept method of the catalogue names its `method`, one of these, and the `parameters` "
        "that differ from the defaults. It finds concepts in each network and measures them; "
        "*comparisons* hold a network against its dense parent, beside the dense network that was "
        "merely trained once more and dense networks of other seeds. Labels come from the data "
        "set itself or from the one that `concept_bank` names. An image of which a concept is not "
        "known (in `derm7pt`, one that shows the other kind of the same structure) is neither a "
        "positive nor a negative example of it: every method leaves it out where it learns that "
        "concept or holds it against the labels. Scores and margins are those of all images.",
        table(("method", "needs", "measures"), rows),
        *(part for name, of in facts.items() for part in _method(name, of)),
    )


def _method(name: str, facts: Mapping[str, Any]) -> list[str]:
    rows = [
        ("reference", linked(facts["reference"])),
        ("needs", _needs(facts)),
        ("parameters", parameters(facts["parameters"])),
    ]
    found = [*section(CONCEPTS, name, rows)]
    for kind in ("measures", "comparisons"):
        if facts[kind]:
            lines = [
                (f"`{measure}`", meaning, unit, _BETTER[direction])
                for measure, (direction, unit, meaning) in facts[kind].items()
            ]
            found.append(table((kind.removesuffix("s"), "what it is", "unit", "better"), lines))
    return found


def _needs(facts: Mapping[str, Any]) -> str:
    return ", ".join(_NEEDS[need] for need in facts["needs"])


def _count(facts: Mapping[str, Any]) -> str:
    return f"{len(facts['measures'])}, and {len(facts['comparisons'])} comparisons"
