"""The guide to a study's report, as a page for browsers: what was studied and how to read it."""

import html
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sparsight.io.atomic import write_text
from sparsight.plots.html_page import html_page

#: of the stage `guide_page`: see `sparsight.study.versions`
VERSION = 1

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #1a1a1a; background: #fff; margin: 1.5rem auto;
  max-width: 46rem; padding: 0 1rem; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.1rem; margin: 1.4rem 0 .2rem; } p { margin: .3rem 0; }
table { border-collapse: collapse; } th { text-align: left; }
th, td { border-bottom: 1px solid #bbb; padding: .3rem 1rem .3rem 0; vertical-align: top; }
"""
_SECTIONS = (
    (
        "Where to begin",
        "Begin with the claims: they were fixed before the data were seen, and they are few. "
        "Then look at the accuracy. At a level at which the network has collapsed, "
        "explanations describe a network that knows nothing, and its scores say nothing about "
        "explanations in general. Then look at the heatmaps, at the metrics, and at the "
        "correlations last.",
    ),
    (
        "Verdicts",
        "A claim is supported or contradicted when the trained networks say so beyond chance, "
        "with one correction (Holm) for all claims of the study. Undecided means that these "
        "networks cannot tell; it does not mean that the claim is false. Few networks show "
        "only large effects.",
    ),
    (
        "The unit is the trained network",
        "Three networks with a thousand images each are three observations of a level, not "
        "three thousand. Figures show each network (seed) by itself wherever there is room.",
    ),
    (
        "Two kinds of intervals ({confidence:g}%)",
        "A Student t interval over seeds says how another training of the same recipe on the "
        "same data would turn out. Among few seeds it is wide, and with one seed there is "
        "none. An interval over images is always called “for these networks”: it says how "
        "other images of the same kind would turn out for the networks at hand, and is no "
        "evidence about others.",
    ),
    (
        "Floors",
        "A dense network that is trained again, with its batches in another order, explains "
        "itself differently too. This retrain floor is the yardstick for every change: what "
        "stays within it is not caused by pruning. The seed floor, between dense networks of "
        "different seeds, is the other end.",
    ),
    (
        "Controls",
        "Explainers that never look at the network (random values, edges, a central blob, the "
        "image itself) are scored like all others. A score or a correlation that a control "
        "also reaches is not evidence about the network. The mean activation looks at the "
        "network but at no class: what it reaches is not evidence about the explained class.",
    ),
    (
        "Level and density",
        "Level 0 is the dense network, retrained as the others are and shared by all pruners. "
        "Density is the share of prunable weights that are left, counted in the masks.",
    ),
    (
        "What is a test here",
        "The claims are. All else is exploratory: p values in the tables are adjusted "
        "(Benjamini and Hochberg) within a data set, model and pruner, so that they can be "
        "compared with each other; they confirm nothing. All numbers behind the figures are "
        "in the tables; begin with levels.csv.",
    ),
)


def write_guide(page: Path, settings: Mapping[str, Any]) -> None:
    """Write the guide.

    Parameters
    ----------
    page : HTML file.
    settings : `study`, `confidence` in (0, 1), and `studied`: heading to names, in order.
    """
    rows = "".join(
        f'<tr><th scope="row">{html.escape(head)}</th><td>{html.escape(", ".join(names))}</td></tr>'
        for head, names in settings["studied"].items()
        if names
    )
    title = f"Guide to the study {settings['study']}"
    body = f"<h1>{html.escape(title)}</h1>\n<table>{rows}</table>\n"
    for head, text in _SECTIONS:
        head = head.format(confidence=100 * settings["confidence"])
        body += f"<h2>{html.escape(head)}</h2>\n<p>{html.escape(text)}</p>\n"
    write_text(page, html_page(title, _STYLE, body))
