"""Pages of the report: the answer, figures with captions, tables to sort and filter.

They are self-contained: the report shows them in frames, without a network.
"""

import base64
import io
import json
import math
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd

from sparsight.analysis import tables
from sparsight.analysis.verdict_table import count_verdicts
from sparsight.io.files import write_text
from sparsight.plots.labels import label_of, labelled
from sparsight.plots.pages import NOTHING, SIGNS, by_tier, claim_rows, interval, number, render

VERSION = 2
#: in the file of such a figure
_NOTHING = f'id="{NOTHING}"'.encode()
#: rows of a table that its page holds; the file has all
MOST_ROWS = 20_000
#: claims on the first page of the report
MOST_CLAIMS = 4
#: width of a figure on the first page, in pixels
THUMBNAIL = 360


def write_report(
    folder: Path,
    *,
    figures: Path,
    tables_in: Path,
    settings: Mapping[str, Any],
) -> None:
    """Write `answer/answer.html`, a page for each figure and table, and `landing.html`.

    `landing.html` is the part of the report's first page that says what was found. An `InputError`
    is raised where a table is damaged.

    Parameters
    ----------
    folder : made anew by who calls.
    figures : folder of the study's figures.
    tables_in : folder of its tables.
    settings : as `sparsight.study.report_pages.ReportSettings.report` gives them; and `captions`,
        name to template, reStructuredText.
    """
    shown: dict[str, dict[str, str]] = {}
    for page in settings["pages"]:
        caption = caption_of(settings["captions"][page["caption"]], page["names"], settings)
        target = folder / page["page"]
        title = page["title"]
        if page["file"].endswith(".csv"):
            write_text(target, table_page(tables_in / page["file"], title, caption, settings))
            continue
        if _NOTHING in (figures / page["file"]).read_bytes():
            continue
        counted = settings["counts"].get(network_of(page["names"]), "")
        figure = {
            "title": title,
            "picture": picture(figures / page["file"]),
            "caption": caption,
            "counted": counted,
            "page": page["page"],
            "file": page["file"],
        }
        write_text(target, render("figure.html", title=title, figures=[figure]))
        if page["file"] in settings["carrying"]:
            shown[page["file"]] = figure
    carrying = [shown[file] for file in settings["carrying"] if file in shown]
    rows = claim_rows(tables_in / "claims.csv", settings) if settings["claims"] else []
    told: dict[str, Any] = {
        "title": f"What the study {settings['study']} found",
        "groups": by_tier(rows),
        "counts": count_verdicts(rows),
        "total": len(rows),
        "signs": SIGNS,
        "number": number,
        "interval": interval,
    }
    write_text(folder / "answer" / "answer.html", render("answer.html", **told, figures=carrying))
    first = [row for group in told["groups"].values() for row in group][:MOST_CLAIMS]
    thumbnails = [
        {**figure, "picture": thumbnail((figures / figure["file"]).with_suffix(".png"))}
        for figure in carrying
    ]
    landing = render(
        "landing.html",
        **told,
        study=settings["study"],
        claims=first,
        figures=thumbnails,
        folder=folder.as_posix(),
    )
    write_text(folder / "landing.html", landing)


def network_of(names: Mapping[str, str]) -> str:
    """Data set and model of a figure, as `counts` name them; "/" where it is of none."""
    return f"{names.get('dataset', '')}/{names.get('model', '')}"


def caption_of(template: str, names: Mapping[str, str], settings: Mapping[str, Any]) -> str:
    """A caption as HTML, with labels in place of names."""
    from docutils.core import publish_parts  # late: only this job writes captions
    from jinja2 import Environment

    labels = {column: label_of(settings, column, name) for column, name in names.items()}
    own = {
        **settings,
        # Templates look facts up by what they are told the metric is called.
        "metrics": {
            label_of(settings, "metric", name): facts for name, facts in settings["metrics"].items()
        },
    }
    snakemake = SimpleNamespace(
        wildcards=SimpleNamespace(**labels),
        params=SimpleNamespace(settings=own),
        config={"study": settings["study"]},
    )
    environment = Environment(trim_blocks=True, lstrip_blocks=True)
    source = environment.from_string(template).render(snakemake=snakemake)
    return str(publish_parts(source, writer="html", settings_overrides={"report_level": 2})["body"])


def picture(path: Path) -> str:
    """A figure as HTML, one page below the other; a single svg as it is, all else as data."""
    others = path.parent.glob(f"{path.stem}.page*{path.suffix}")
    pages = [path, *sorted(others, key=lambda other: int(other.stem.rpartition(".page")[2]))]
    if path.suffix == ".svg" and len(pages) == 1:
        text = path.read_text(encoding="utf-8")
        return text[text.index("<svg") :]
    kind = {".svg": "image/svg+xml", ".png": "image/png"}[path.suffix]
    return "".join(f'<img alt="" src="{_data(kind, page.read_bytes())}">' for page in pages)


def thumbnail(path: Path) -> str:
    """A png at a width of `THUMBNAIL` pixels, as data."""
    from PIL import Image

    with Image.open(path) as image:
        height = round(image.height * THUMBNAIL / image.width)
        small = image.convert("RGB").resize((THUMBNAIL, height), Image.Resampling.LANCZOS)
    # What does not fit a row of three is cut off below.
    small = small.crop((0, 0, THUMBNAIL, min(height, round(0.75 * THUMBNAIL))))
    buffer = io.BytesIO()
    small.save(buffer, "WEBP", quality=80)
    return _data("image/webp", buffer.getvalue())


def _data(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def table_page(path: Path, title: str, caption: str, settings: Mapping[str, Any]) -> str:
    """A table with its caption: rows are sorted, searched and filtered in the page."""
    name = path.stem
    frame = tables.read(name, path)
    known = {column.name: column for column in tables.TABLES[name].columns}
    shown = labelled(frame.head(MOST_ROWS), settings)
    return render(
        "table.html",
        title=title,
        caption=caption,
        file=path.name,
        rows=len(frame),
        most=MOST_ROWS,
        heads=[_head(column, known.get(str(column))) for column in shown],
        content=_script_text({"rows": [_cells(row) for row in shown.itertuples(index=False)]}),
    )


def _head(name: object, column: tables.Column | None) -> dict[str, str]:
    meaning = "" if column is None else " ".join(filter(None, [column.meaning, column.unit]))
    return {"name": str(name), "text": str(name).replace("_", " "), "meaning": meaning}


def _cells(row: Iterable[Any]) -> list[Any]:
    """Values of a row for JSON: numbers with five digits that count, None where there is none."""
    return [_cell(value) for value in row]


def _cell(value: Any) -> Any:
    if pd.isna(value):
        return None
    if isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return float(f"{value:.5g}") if math.isfinite(value) else str(value)
    return value.item() if hasattr(value, "item") else str(value)


def _script_text(value: Any) -> str:
    """JSON that may stand in a script: no text ends it."""
    return re.sub(r"</", r"<\\/", json.dumps(value, separators=(",", ":"), ensure_ascii=False))
