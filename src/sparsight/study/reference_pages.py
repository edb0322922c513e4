"""The pages in `docs/`: what all that a configuration can name says of itself.

They are made from the templates in `pages/`, the registries, and facts and docstrings in the
sources, without importing what is described: `python -m sparsight.study.reference_pages docs`.
"""

import ast
import importlib.util
import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from jinja2 import Undefined

from sparsight.analysis.tables import TABLES
from sparsight.concepts.registry import CONCEPTS
from sparsight.explain.registry import EXPLAINERS
from sparsight.io.files import write_text
from sparsight.io.templates import templates
from sparsight.metrics.registry import AGREEMENT, METRICS
from sparsight.pruning.registry import CRITERIA, PUBLISHED_BUGS
from sparsight.registration import REQUIRED, Registry
from sparsight.spade.registry import SOLVERS
from sparsight.study import result_pages
from sparsight.study.labels import COLUMNS, study_labels
from sparsight.study.models import allowed_by, editor_schemas, json_schema

#: pages that are made; all others in `docs/` are written by hand
PAGES = (
    "README.md",
    "configuration.md",
    "explainers.md",
    "gallery.md",
    "metrics.md",
    "networks.md",
    "concepts.md",
    "pruning.md",
    "sample_pruning.md",
    "published_bugs.md",
    "tables.md",
)
_NOTE = "<!-- Made by `make docs` from the sources; edit those. -->\n\n"


def pages() -> dict[str, str]:
    """All pages that are made: file name in `docs/` to Markdown."""
    environment = templates("sparsight.study", "pages")
    # Items leave facts out that say nothing of them.
    environment.undefined = Undefined
    environment.filters |= {
        "cell": lambda text: str(text).replace("|", "\\|"),
        "code": code,
        "facts": lambda registry: {name: registry.facts(name) for name in sorted(registry.entries)},
        "links": links,
        "paragraphs": paragraphs,
        "parameters": parameters,
        "yes": lambda value: "yes" if value else "no",
    }
    categories = dict.fromkeys(METRICS.facts(name)["category"] for name in METRICS.entries)
    environment.globals |= {
        "AGREEMENT": AGREEMENT,
        "CONCEPTS": CONCEPTS,
        "CRITERIA": CRITERIA,
        "EXPLAINERS": EXPLAINERS,
        "GALLERY": gallery(),
        "METRICS": METRICS,
        "ON_NETWORKS": on_networks(),
        "PUBLISHED_BUGS": PUBLISHED_BUGS,
        "SOLVERS": SOLVERS,
        "TABLES": TABLES,
        "categories": sorted(categories, key=lambda category: category == "descriptive"),
        "sections": list(_configuration()),
    }
    return {name: _NOTE + environment.get_template(name).render() for name in PAGES}


def write_pages(folder: Path) -> None:
    """Write all pages into `folder`, and the list of tables next to it in `results/README.md`."""
    for name, text in pages().items():
        write_text(folder / name, text)
    readme = folder.parent / "results" / "README.md"
    if readme.is_file():
        write_text(readme, with_tables(readme.read_text(encoding="utf-8")))


def with_tables(readme: str) -> str:
    """`results/README.md` with its list of tables, between two comments, made again."""
    rows = [
        f"| [`{of.file}`](../docs/tables.md#{of.name}) | {of.about} |" for of in TABLES.values()
    ]
    before, begin, rest = readme.partition("<!-- tables, by `make docs` -->\n")
    _, end, after = rest.partition("<!-- end of tables -->")
    table = "\n".join(["| file | holds |", "| --- | --- |", *rows])
    return f"{before}{begin}\n{table}\n\n{end}{after}"


def write_schemas(folder: Path) -> None:
    """Write the JSON schemas by which editors complete and check studies into `folder`."""
    for name, schema in editor_schemas().items():
        write_text(folder / name, f"{json.dumps(schema, indent=1)}\n")


# ------------------------------------------------------------------------ what templates ask for


#: which explainers run on which networks of libraries, as `make networks` records it
RECORD = Path(__file__).parent / "pages" / "networks.json"
#: what `make gallery` has drawn
GALLERY = Path(__file__).parent / "pages" / "gallery.json"


def on_networks() -> dict[str, Any]:
    """The record, and its `reasons`: what is refused, on which networks, and why.

    Each has the names of `explainers`, `networks` (name to the layer, if one is to blame) and the
    `text`.
    """
    record: dict[str, Any] = json.loads(RECORD.read_text(encoding="utf-8"))
    found: dict[tuple[str, str], dict[str, list[str]]] = {}
    for explainer, refused in record["explainers"].items():
        for network, whole in filter(lambda pair: pair[1], refused.items()):
            text, _, place = whole.partition(" (first in layer ")
            text = re.sub(r"^explainer '\w+':? ", "", text)
            # A layer that a text names itself is that of its network.
            by_network = found.setdefault((re.sub(r"^layer '.*?'", "its layer", text), network), {})
            by_network.setdefault(place.rstrip(")").strip("'"), []).append(explainer)
    grouped: dict[tuple[str, tuple[str, ...]], dict[str, str]] = {}
    for (text, network), places in found.items():
        for place, explainers in places.items():
            grouped.setdefault((text, tuple(explainers)), {})[network] = place
    reasons = [
        {"explainers": list(explainers), "networks": networks, "text": text}
        for (text, explainers), networks in grouped.items()
    ]
    return {**record, "reasons": reasons}


def gallery() -> dict[str, Any]:
    """The record of the gallery; each explainer has its `label`, too."""
    record: dict[str, Any] = json.loads(GALLERY.read_text(encoding="utf-8"))
    entries = record["explainers"]
    study = {**dict.fromkeys(COLUMNS, ()), "explainers": list(entries)}
    labels = study_labels({**study, "catalogue": {"explainers": entries}})["explainer"]
    return {**record, "explainers": {n: {**of, "label": labels[n]} for n, of in entries.items()}}


def paragraphs(registry: Registry, name: str) -> list[str]:
    """Paragraphs of a class's docstring before its first headed section, each on one line."""
    module, _, class_name = registry.entries[name].partition(":")
    spec = importlib.util.find_spec(module)
    source = Path(spec.origin).read_text(encoding="utf-8") if spec and spec.origin else ""
    found = [
        ast.get_docstring(node) or ""
        for node in ast.parse(source).body
        if isinstance(node, ast.ClassDef) and node.name == class_name
    ]
    text = re.split(r"\n[^\n]+\n-{3,}\n", found[0] if found else "")[0]
    parts = re.sub(r"\n +", "\n", text.strip()).split("\n\n")
    # Items of lists keep their lines.
    return [links(re.sub(r"\n(?!(?:[*-]|\d+\.) )", " ", part)) for part in parts]


def parameters(defaults: Mapping[str, Any] | None) -> str:
    """Names and defaults, a line each."""
    return "<br>".join(
        f"`{name}`: " + ("required" if default == REQUIRED else f"`{_value(default)}`")
        for name, default in (defaults or {}).items()
    )


def _value(value: Any) -> str:
    """A default as it stands in YAML."""
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_value, value))}]"
    if value is None or isinstance(value, bool) or value == "":
        return json.dumps(value)
    return str(value)


def links(text: str) -> str:
    """Text in which arXiv ids and DOIs are links."""
    text = re.sub(
        r"(?:arXiv:|arXiv )(\d{4}\.\d{4,5})", r"[arXiv:\1](https://arxiv.org/abs/\1)", text
    )
    return re.sub(r"doi:(10\.\d+/[^\s,;)]+)", r"[doi:\1](https://doi.org/\1)", text)


def code(names: Iterable[str]) -> str:
    """Names as code, separated by commas."""
    return ", ".join(f"`{name}`" for name in names)


def _configuration() -> Iterator[tuple[str, str, list[tuple[str, ...]]]]:
    """Title, description and keys of every model, the study first, then its parts in order."""
    schema = json_schema()
    order = ["StudyFile"]
    parts = {"StudyFile": schema, **schema["$defs"]}
    for name in order:
        part = parts[name]
        order += [n for n in dict.fromkeys(_models_in(part["properties"])) if n not in order]
        needed = part.get("required", ())
        yield (
            "A study" if name == "StudyFile" else _title(name),
            " ".join(part["description"].split()),
            [
                (f"`{key}`", _meaning(of), _allowed(of), _default(of, key in needed))
                for key, of in part["properties"].items()
            ],
        )


def _models_in(part: Any) -> list[str]:
    """Models that a part of a schema refers to, in order."""
    if isinstance(part, list):
        return [name for one in part for name in _models_in(one)]
    if not isinstance(part, dict):
        return []
    own = [str(part["$ref"]).rpartition("/")[2]] if "$ref" in part else []
    return own + [name for one in part.values() for name in _models_in(one)]


def _title(model: str) -> str:
    """Heading of a model: most are called as the key that holds them."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", model).lower()


def _meaning(part: Mapping[str, Any]) -> str:
    models = [f"[{_title(n)}](#{_title(n)})" for n in dict.fromkeys(_models_in(part))]
    return " ".join(filter(None, [part.get("description"), *models]))


def _allowed(part: Mapping[str, Any]) -> str:
    forms = [form for form in part.get("anyOf", [part]) if "$ref" not in form]
    found = "; or ".join(dict.fromkeys(filter(None, map(allowed_by, forms))))
    items = part.get("items", {})
    each = "" if "$ref" in items else allowed_by(items)
    text = f"{found}, each {each}" if each else found
    text = re.sub(r"text matching \S+ and of at most 40 characters", "a name", text)
    # A pattern's brackets are no link.
    return re.sub(r"text matching (\S+)", r"text matching `\1`", text)


def _default(part: Mapping[str, Any], needed: bool) -> str:
    if "default" not in part:
        return "required" if needed else ""
    # the defaults of a part are in its own section
    return "" if isinstance(part["default"], dict) else f"`{json.dumps(part['default'])}`"


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python -m sparsight.study.reference_pages PAGES SCHEMAS")
    write_pages(Path(sys.argv[1]))
    result_pages.write_pages(Path(sys.argv[1]).resolve().parent)
    write_schemas(Path(sys.argv[2]))
