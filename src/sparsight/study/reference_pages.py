"""The pages in `docs/`: what all that a configuration can name says of itself.

They are made from the registries and from facts and docstrings in the sources, without importing
what is described: `python -m sparsight.study.reference_pages docs`.
"""

import ast
import importlib.util
import json
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from sparsight.analysis.tables import TABLES, Table
from sparsight.concepts.registry import CONCEPTS
from sparsight.explain.registry import EXPLAINERS
from sparsight.io.files import write_text
from sparsight.metrics.registry import AGREEMENT, METRICS
from sparsight.parameters import REQUIRED
from sparsight.pruning.registry import PUBLISHED_BUGS
from sparsight.registration import Registry
from sparsight.spade.registry import SOLVERS
from sparsight.study.models import editor_schemas, json_schema
from sparsight.study.phrases import allowed_by

_NOTE = "<!-- Made by `make docs` from the sources; edit those. -->"


def section(registry: Registry, name: str, rows: Iterable[tuple[str, str]]) -> list[str]:
    """Heading, description, the facts that say something, and what else the docstring says."""
    first, *rest = _paragraphs(registry, name)
    told = [row for row in rows if row[1]]
    return [f"### {name}", first, table(("", ""), told), *rest]


def _paragraphs(registry: Registry, name: str) -> list[str]:
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
    return [linked(_one_line(part)) for part in text.strip().split("\n\n")]


def _one_line(paragraph: str) -> str:
    """A paragraph on one line; lists keep their items' lines."""
    lines: list[str] = []
    for line in paragraph.splitlines():
        if lines and not re.match(r"\s*([*-]|\d+\.) ", line):
            lines[-1] += f" {line.strip()}"
        else:
            lines.append(line.strip())
    return "\n".join(lines)


def parameters(defaults: Mapping[str, Any]) -> str:
    """Names and defaults, a line each."""
    shown = []
    for name, default in defaults.items():
        value = "required" if default == REQUIRED else f"`{_value(default)}`"
        shown.append(f"`{name}`: {value}")
    return "<br>".join(shown)


def _value(value: Any) -> str:
    """A default as it stands in YAML."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, list | tuple):
        return f"[{', '.join(_value(part) for part in value)}]"
    return '""' if value == "" else str(value)


def linked(text: str) -> str:
    """Text in which arXiv ids and DOIs are links."""
    text = re.sub(
        r"(?:arXiv:|arXiv )(\d{4}\.\d{4,5})", r"[arXiv:\1](https://arxiv.org/abs/\1)", text
    )
    return re.sub(r"doi:(10\.\d+/[^\s,;)]+)", r"[doi:\1](https://doi.org/\1)", text)


def listed(names: Iterable[str]) -> str:
    """Names as code, separated by commas."""
    return ", ".join(f"`{name}`" for name in names)


def table(heads: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """A table with a line of `heads`."""
    lines = [heads, tuple("---" for _ in heads), *rows]
    return "\n".join(
        "| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines
    )


def page(title: str, *parts: str) -> str:
    """A page of paragraphs under a title, with a note on who made it."""
    return "\n\n".join([_NOTE, f"# {title}", *parts]) + "\n"


_NEEDS = {
    "concept_labels": "concept labels",
    "masks": "masks of objects",
    "part_masks": "masks of parts",
}
_BETTER = {"higher": "higher", "lower": "lower", "": ""}


def concept_page() -> str:
    """The page's parts, joined: Markdown."""
    facts = {name: CONCEPTS.facts(name) for name in sorted(CONCEPTS.entries)}
    rows = [
        (f"[`{name}`](#{name})", _needs_of_concept(of), _count(of)) for name, of in facts.items()
    ]
    return page(
        "Concepts",
        "A concept method of the catalogue names its `method`, one of these, and the `parameters` "
        "that differ from the defaults. It finds concepts in each network and measures them; "
        "*comparisons* are of a network with its dense parent, next to the dense network that was "
        "merely trained again and dense networks of other seeds. Labels come from the data "
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
        ("needs", _needs_of_concept(facts)),
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


def _needs_of_concept(facts: Mapping[str, Any]) -> str:
    return ", ".join(_NEEDS[need] for need in facts["needs"])


def _count(facts: Mapping[str, Any]) -> str:
    return f"{len(facts['measures'])}, and {len(facts['comparisons'])} comparisons"


_SPARSITIES = (
    ("`constant: 0.9`", "the same share of every layer's weights"),
    (
        '`layers: {layer4: 0.95, "layer3.*": 0.5}`',
        "by the name of a layer or of a module around it, or by a pattern with `*` and `?`. The "
        "longest that fits counts; a layer that none fits keeps its weights",
    ),
    (
        "`preset: published_resnet50`",
        "as published, for ResNet-50; also `published_feature_visualisation`. "
        "`published_by_stage` carries the first over to other residual networks, which is ours",
    ),
    (
        "`search: {criterion: without_truth}`",
        "searched for on calibration images of `split`, with the shares of `grid`",
    ),
    (
        "`as: spade_fast`",
        "those of another sample pruner, searched for or not: for controls of equal sparsity",
    ),
)
_CRITERIA = (
    (
        "`without_truth`",
        "ours: the largest share at which copies, on augmentations that they were not pruned for, "
        "keep the network's prediction (`keep_prediction`) and its probability "
        "(`keep_probability`)",
    ),
    (
        "`ground_truth`",
        "as published: the share with the largest mean pixel ROC AUC of saliency against the masks",
    ),
)
_FILES = (
    (
        "`spade/{sample_pruner}_sparsities.json`",
        "shares that were searched for, all that was tried, and the calibration images",
    ),
    (
        "`spade/{sample_pruner}__{family}.parquet`",
        "fidelity of every copy to its network, a row per image and condition: whether both "
        "predict the same class (`same_prediction`), the Kullback-Leibler divergence of their "
        "outputs in nats (`divergence`), the share of the explained class's probability that is "
        "left (`probability_kept`), and the share of zeros in the layers pruned (`sparsity`)",
    ),
    (
        "`summary/sample_pruning.csv`",
        "every explainer on copies against itself on the network, and sample pruners against "
        "each other, paired by image: differences with intervals, their p, and mean fidelity",
    ),
)


def sample_page() -> str:
    """The page's parts, joined: Markdown."""
    facts = {name: SOLVERS.facts(name) for name in sorted(SOLVERS.entries)}
    rows = [
        (f"[`{name}`](#{name})", _needs_of_solver(of), _columns(of)) for name, of in facts.items()
    ]
    return page(
        "Sample pruners",
        "SPADE ([arXiv:2310.04519](https://arxiv.org/abs/2310.04519)) prunes a copy of the network "
        "for one image, and explains the image with that copy: what the network has learnt for "
        "other images is to fall, and what is left to be easier to explain. The image's augmented "
        "copies pass through the network, each layer's inputs are recorded, and a solver makes the "
        "layer sparse so that its outputs on these inputs stay. All convolutions but the first, "
        "and all linear layers, are pruned, each by its own share.",
        "A sample pruner of the catalogue names its `solver`, one of these, the `parameters` that "
        "differ from the defaults, and its `sparsities`. Those of `sample_pruning.pruners` run, "
        "and each of the study's explainers appears again for each of them in all tables: "
        "`spade_fast__saliency` next to `saliency`. Metrics judge these maps with the network "
        "itself; those that explain again leave them out.",
        "Sparsity alone changes explanations, whatever it was chosen by. `magnitude` and `random` "
        "are controls: with the sparsities of another sample pruner (`as`), they remove as many "
        "weights from every layer without looking at the image. What a solver gains over them is "
        "what pruning *for the sample* gains. How far a copy still is the network that it is to "
        "explain is measured with every image.",
        table(("solver", "needs", "most columns"), rows),
        "*Columns* are the inputs of an output: channels times the pixels of the kernel.",
        "## Solvers",
        *(part for name, of in facts.items() for part in _solver(name, of)),
        "## Sparsities",
        "The share of a layer's weights that is zero in the copy; zeros of an earlier pruning "
        "count. One of:",
        table(("sparsities", "which shares"), _SPARSITIES),
        "A search tries one layer after the other, from the classifier backwards, by a criterion. "
        "Its images are never those of the test split:",
        table(("criterion", "what is taken"), _CRITERIA),
        "## What is written",
        "Beside each checkpoint, and over all of them:",
        table(("file", "what it holds"), _FILES),
    )


def _solver(name: str, facts: Mapping[str, Any]) -> list[str]:
    rows = [
        ("reference", linked(facts["reference"])),
        ("needs", _needs_of_solver(facts)),
        ("most columns", _columns(facts) if facts.get("largest_columns") else ""),
        ("parameters", parameters(facts.get("parameters", {}))),
    ]
    return section(SOLVERS, name, rows)


def _needs_of_solver(facts: Mapping[str, Any]) -> str:
    return "the layer's inputs" if facts["needs_hessian"] else "nothing of the image: a control"


def _columns(facts: Mapping[str, Any]) -> str:
    most = facts.get("largest_columns", 0)
    return f"{most}, unless `largest_columns` says otherwise" if most else "any number"


_DIRECTIONS = {"higher": "higher is better", "lower": "lower is better", "": "neither is better"}
_MASKS = {"soft": "soft, 0 to 1", "binary": "binary, from 0.5 on", "none": "none"}
_TREATMENTS = {
    "signed": "as they are",
    "absolute": "absolute values",
    "positive": "negative values count as 0",
}
_NORMALISATIONS = {"none": "none", "min_max": "min-max per image, to 0 to 1"}
#: pages that are written by hand, and their lines in the index
GUIDES = {
    "how_it_works.md": "How a study works, and what its numbers can carry",
    "data.md": "Data and their licences",
    "running.md": "From a laptop to a cluster",
    "costs.md": "What a study costs",
    "progress.md": "Watching a run",
    "clusters.md": "SLURM clusters",
    "gpus_and_containers.md": "GPUs, containers, Kubernetes, and this workflow inside another one",
}


def pages() -> dict[str, str]:
    """All pages that are made: file name in `docs/` to Markdown."""
    return {
        "README.md": _index(),
        "configuration.md": _configuration(),
        "explainers.md": _explainers(),
        "metrics.md": _metrics(),
        "concepts.md": concept_page(),
        "sample_pruning.md": sample_page(),
        "published_bugs.md": _published_bugs(),
        "tables.md": _tables(),
    }


def write_pages(folder: Path) -> None:
    """Write all pages into `folder`, and the list of tables next to it in `results/README.md`."""
    for name, text in pages().items():
        write_text(folder / name, text)
    readme = folder.parent / "results" / "README.md"
    if readme.is_file():
        write_text(readme, with_tables(readme.read_text(encoding="utf-8")))


def with_tables(readme: str) -> str:
    """`results/README.md` with its list of tables, between two comments, made again."""
    rows = [(f"[`{of.file}`](../docs/tables.md#{of.name})", of.about) for of in TABLES.values()]
    before, begin, rest = readme.partition("<!-- tables, by `make docs` -->\n")
    _, end, after = rest.partition("<!-- end of tables -->")
    return f"{before}{begin}\n{table(('file', 'holds'), rows)}\n\n{end}{after}"


def write_schemas(folder: Path) -> None:
    """Write the JSON schemas by which editors complete and check studies into `folder`."""
    for name, schema in editor_schemas().items():
        write_text(folder / name, f"{json.dumps(schema, indent=1)}\n")


def _index() -> str:
    items = (
        "[Configuration](configuration.md): every key of a study and of the catalogue",
        f"[Explainers](explainers.md): {len(EXPLAINERS.entries)} methods and controls, and those "
        "of captum and pytorch-grad-cam",
        f"[Metrics](metrics.md): {len(METRICS.entries)} of single explanations and "
        f"{len(AGREEMENT.entries)} of agreement, and those of quantus",
        f"[Concepts](concepts.md): {len(CONCEPTS.entries)} methods that find and compare them",
        f"[Sample pruners](sample_pruning.md): {len(SOLVERS.entries)} solvers and controls, forms "
        "of sparsities, and how these are searched for",
        f"[Published mistakes](published_bugs.md): {len(PUBLISHED_BUGS)} switches for pruners",
        f"[Tables](tables.md): {len(TABLES)} that a study writes, with all columns",
    )
    return page(
        "Reference",
        "What a configuration can name and what a study writes, made from the code (`make docs`).",
        "\n".join(f"* {item}" for item in items),
        "[CONTRIBUTING.md](../CONTRIBUTING.md) shows how to add one's own.",
        "## Guides",
        "\n".join(f"* [{line}]({name})" for name, line in GUIDES.items()),
    )


def _explainers() -> str:
    facts = {name: EXPLAINERS.facts(name) for name in sorted(EXPLAINERS.entries)}
    methods = {name: of for name, of in facts.items() if not of["control"]}
    controls = {name: of for name, of in facts.items() if of["control"]}
    rows = [
        (
            f"[`{name}`](#{name})",
            f"{of['cost']} at 28x28" if of.get("cost_depends_on_image") else str(of["cost"]),
            "yes" if of["signed"] else "no",
            of["native"],
            "control" if of["control"] else "",
        )
        for name, of in {**methods, **controls}.items()
    ]
    return page(
        "Explainers",
        "An explainer of the catalogue names its `method`, one of these, and the `parameters` that "
        "differ from the defaults. *Cost* is the number of forward passes per image with the "
        "defaults, a backward pass counting as two. *Signed* maps hold values below 0, which are "
        "evidence against the class. A map has the resolution of the image (*pixel*) or of a "
        "layer; an empty parameter `layer` stands for the one that the architecture names.",
        table(("method", "cost", "signed", "resolution", ""), rows),
        "## Methods",
        *(part for name, of in methods.items() for part in _explainer(name, of)),
        "## Controls",
        "Baselines for explanations: they know nothing of the class that is explained. "
        "Those that look at no network are made once per data set.",
        *(part for name, of in controls.items() for part in _explainer(name, of)),
        "## Of other libraries",
        "These need no code. Their parameters are those of the library's class.",
        _foreign_explainers("captum", "captum"),
        _foreign_explainers("grad_cam", "pytorch-grad-cam"),
    )


def _explainer(name: str, facts: Mapping[str, Any]) -> list[str]:
    native = "the image's"
    if facts["native"] == "layer":
        native = f"the layer's; brought to image size by {facts['interpolation']} interpolation"
    excluded = facts.get("excluded_models", ())
    rows = [
        ("reference", linked(facts["reference"])),
        ("cost", _cost(facts)),
        ("signed", "yes" if facts["signed"] else "no"),
        ("values", facts["value_range"]),
        ("channels", facts["reduction"]),
        ("resolution", native),
        ("looks at the network", "yes" if facts["needs_network"] else "no"),
        ("parameters", parameters(facts["parameters"])),
        ("does not apply to", listed(excluded) if excluded else ""),
    ]
    return section(EXPLAINERS, name, rows)


def _cost(facts: Mapping[str, Any]) -> str:
    passes = _passes(facts["cost"])
    if facts.get("cost_depends_on_image"):
        return f"depends on the image: {passes} of 28x28 pixels"
    return passes


def _passes(cost: int) -> str:
    passes = "no forward pass" if cost == 0 else f"{cost} forward passes per image"
    return "1 forward pass per image" if cost == 1 else passes


def _foreign_explainers(prefix: str, library: str) -> str:
    facts = EXPLAINERS.facts(f"{prefix}.Any")
    classes = facts["foreign_classes"]
    dear = ", ".join(
        f"`{name}` ({cost:,})" for name, (cost, *_) in classes.items() if cost > facts["cost"]
    )
    needed = [
        (f"`{prefix}.{name}`", ", ".join(choices))
        for name, (_, *choices) in classes.items()
        if choices
    ]
    refused = [(f"`{prefix}.{name}`", why) for name, why in facts["foreign_refused"].items()]
    return (
        f"`{prefix}.<Class>` for these classes of {library}: {listed(classes)}."
        f"\n\nA cost of {facts['cost']} is taken for them, and a greater one for these, here with "
        f"the library's defaults, images of 28x28 and layers of 512 channels: {dear}."
        f"\n\n{table(('method', 'needs the parameters'), needed)}"
        f"\n\nThese are refused:\n\n{table(('method', 'reason'), refused)}"
    )


def _metrics() -> str:
    facts = {name: METRICS.facts(name) for name in METRICS.entries}
    found = dict.fromkeys(of["category"] for of in facts.values())
    categories = sorted(found, key=lambda category: category == "descriptive")
    agreement = {name: AGREEMENT.facts(name) for name in sorted(AGREEMENT.entries)}
    parts = []
    for category in categories:
        parts.append(f"## {category.capitalize()}")
        members = sorted(name for name, of in facts.items() if of["category"] == category)
        for name in members:
            parts += _metric(METRICS, name, facts[name])
    rows = [
        (f"[`{name}`](#{name})", of["category"], _DIRECTIONS[of["direction"]], _needs(of))
        for category in categories
        for name, of in sorted(facts.items())
        if of["category"] == category
    ]
    rows += [(f"[`{name}`](#{name})", "agreement", "higher is better", "") for name in agreement]
    return page(
        "Metrics",
        "A metric of the catalogue names its `method`, one of these, and the `parameters` that "
        "differ from the defaults. Maps are brought to image size, then *treated* and "
        "*normalised*, and then scored. A metric that is undefined for an image scores NaN.",
        table(("method", "category", "direction", "needs"), rows),
        *parts,
        "## Agreement",
        "These compare two networks' maps of the same image and class.",
        *(part for name, of in agreement.items() for part in _metric(AGREEMENT, name, of)),
        "## Of quantus",
        "These need no code. Their parameters are those of quantus's class.",
        _quantus(),
    )


def _metric(registry: Registry, name: str, facts: Mapping[str, Any]) -> list[str]:
    rows = [
        ("reference", linked(facts["reference"])),
        ("direction", _DIRECTIONS[facts["direction"]]),
        ("unit", facts["unit"]),
        ("needs", _needs(facts)),
        ("treatment of maps", _TREATMENTS[facts["treatment"]]),
        ("normalisation", _NORMALISATIONS[facts["normalisation"]]),
        ("mask", _MASKS[facts["mask_rule"]]),
        ("resolution", facts["resolution"] if "reference" in facts["needs"] else ""),
        ("curve becomes a number by", facts.get("reducer", "")),
        ("parameters", parameters(facts["parameters"])),
    ]
    return section(registry, name, rows)


def _needs(facts: Mapping[str, Any]) -> str:
    return ", ".join(facts.get("needs", ()))


def _quantus() -> str:
    facts = METRICS.facts("quantus.Any")
    known, grey = facts["foreign_facts"], facts["foreign_grey_only"]
    rows = [
        (
            f"`quantus.{name}`",
            category,
            _DIRECTIONS[direction],
            ", ".join((*needs, *(["images of one channel"] if name in grey else []))),
        )
        for name, (category, direction, needs) in sorted(known.items())
    ]
    refused = [(f"`quantus.{name}`", why) for name, why in facts["foreign_refused"].items()]
    return (
        f"{table(('method', 'category', 'direction', 'needs'), rows)}"
        f"\n\nThese are refused:\n\n{table(('method', 'reason'), refused)}"
    )


def _configuration() -> str:
    """Keys of every model, the study first, then its parts in the order in which they are named."""
    schema = json_schema()
    order = ["StudyFile"]
    parts = {"StudyFile": schema, **schema["$defs"]}
    for name in order:
        order += [n for n in _named(parts[name]["properties"]) if n not in order]
    sections = []
    for name in order:
        part = parts[name]
        rows = [
            (
                f"`{key}`",
                _described(of),
                _allowed(of),
                _default(of, key in part.get("required", ())),
            )
            for key, of in part["properties"].items()
        ]
        title = "A study" if name == "StudyFile" else _title(name)
        sections += [f"## {title}", " ".join(part["description"].split())]
        sections.append(table(("key", "meaning", "allowed", "default"), rows))
    return page(
        "Configuration",
        "A study needs three keys: `study`, `datasets` and `models`. It is given with "
        "`--configfile`, and states what differs from the defaults; without a file, `config.yaml` "
        "runs. Names come from `catalogue/*.yaml`; entries under `catalogue` are added to those "
        "there, or change them key by key. Editors with the YAML language server complete and "
        "check keys by the first line of each file. `--config key=value` changes a key for a run.",
        *sections,
    )


def _named(part: Any) -> list[str]:
    """Models that a part of a schema refers to, in order."""
    if isinstance(part, list):
        return [name for one in part for name in _named(one)]
    if not isinstance(part, dict):
        return []
    own = [str(part["$ref"]).rpartition("/")[2]] if "$ref" in part else []
    return own + [name for one in part.values() for name in _named(one)]


def _title(model: str) -> str:
    """Heading of a model: most are called as the key that holds them."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", model).lower()


def _described(part: Mapping[str, Any]) -> str:
    named = [f"[{_title(n)}](#{_title(n)})" for n in dict.fromkeys(_named(dict(part)))]
    return " ".join(filter(None, [part.get("description"), *named]))


def _allowed(part: Mapping[str, Any]) -> str:
    forms = [form for form in part.get("anyOf", [part]) if "$ref" not in form]
    found = "; or ".join(dict.fromkeys(filter(None, map(allowed_by, forms))))
    items = part.get("items", {})
    each = "" if "$ref" in items else allowed_by(items)
    text = f"{found}, each {each}" if each else found
    return re.sub(r"text matching \S+ and of at most 40 characters", "a name", text)


def _default(part: Mapping[str, Any], needed: bool) -> str:
    if "default" not in part:
        return "required" if needed else ""
    # the defaults of a part are in its own section
    return "" if isinstance(part["default"], dict) else f"`{json.dumps(part['default'])}`"


def _published_bugs() -> str:
    parts = []
    for name, text in PUBLISHED_BUGS.items():
        parts += [f"## {name}", f"{linked(text)}."]
    return page(
        "Published mistakes",
        "Mistakes in the code of published studies, as switches, so that their effect is itself a "
        "result. A pruner names them in `published_bugs`; all are off by default.",
        *parts,
    )


_TYPES = {
    "str": "text",
    "bool": "true or false",
    "int32": "whole number",
    "int64": "whole number",
    "Int64": "whole number or empty",
    "float64": "number or empty",
}


def _tables() -> str:
    return page(
        "Tables",
        "What a study writes to `results/NAME/summary/`; a table is there only where the study has "
        "what it is about. An empty number is undefined, never 0; rows of single networks leave "
        "empty what only their mean has. `load_results` reads tables with their types, and their "
        "`attrs` hold the units and directions below:",
        '```python\nimport sparsight\n\nresults = sparsight.load_results("results/digits")\n'
        "means = results.correlations.query(\"seed == 'mean' and levels == 'all'\")\n"
        'results.levels.attrs["metrics"]  # unit and direction of each metric\n```',
        table(
            ("table", "holds"), [(f"[{of.name}](#{of.name})", of.about) for of in TABLES.values()]
        ),
        *(part for of in TABLES.values() for part in _table(of)),
    )


def _table(of: Table) -> list[str]:
    rows = [
        (
            f"`{column.name}`",
            _TYPES[column.dtype],
            "; ".join(
                filter(None, (column.unit, column.direction and f"{column.direction} is better"))
            ),
            column.meaning,
        )
        for column in of.columns
    ]
    keys = f"`{of.file}`; a row for each {listed(of.keys)}."
    return [
        f"## {of.name}",
        f"{of.about}.",
        keys,
        table(("column", "type", "unit", "meaning"), rows),
    ]


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python -m sparsight.study.reference_pages PAGES SCHEMAS")
    write_pages(Path(sys.argv[1]))
    write_schemas(Path(sys.argv[2]))
