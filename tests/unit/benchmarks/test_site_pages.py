"""What the documentation site does to pages, notebooks and docstrings."""

import inspect
import json
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture
def site_pages(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The hooks of mkdocs; their folder is no package."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[3] / "benchmarks"))
    import site_pages

    return site_pages


def test_links_to_folders_and_notebooks_lead_to_pages(site_pages: ModuleType) -> None:
    text = "[a](tutorial.ipynb) [b](../results/reference/thesis_mnist) [c](claims.md#verdicts)"
    assert site_pages.linked_by_name("docs/data.md", text) == (
        "[a](tutorial.md) [b](../results/reference/thesis_mnist/README.md) [c](claims.md#verdicts)"
    )


def test_a_notebook_is_a_page_with_what_its_code_gave(site_pages: ModuleType) -> None:
    table = {"text/html": ["<style>\n b {}\n</style>\n<table>\n  <tr></tr>\n</table>"]}
    code = {"cell_type": "code", "source": ["1 + 1\n", "2"], "outputs": [{"data": table}]}
    picture = {"cell_type": "code", "source": "x", "outputs": [{"data": {"image/png": "abc\n"}}]}
    cells = [{"cell_type": "markdown", "source": ["# Title\n"]}, code, picture]
    assert site_pages.notebook_page(json.dumps({"cells": cells})).split("\n\n") == [
        "# Title",
        "```python\n1 + 1\n2\n```",
        "<table><tr></tr></table>",
        "```python\nx\n```",
        "![What the code above shows](data:image/png;base64,abc)",
    ]


def test_parameters_of_a_docstring_are_a_list(site_pages: ModuleType) -> None:
    text = """Add.

    More.

    Parameters
    ----------
    one : float32 [N],
        in [0, 1].
    two, three : int64.

    Returns
    -------
    Their sum: a number.
    """
    assert site_pages.docstring_page(inspect.cleandoc(text)) == (
        "Add.\n\nMore.\n\n**Parameters**\n\n* `one`: float32 [N],\n    in [0, 1].\n"
        "* `two, three`: int64.\n\n**Returns**\n\nTheir sum: a number."
    )


def test_examples_of_a_docstring_are_code(site_pages: ModuleType) -> None:
    text = "Read.\n\n>>> a = read()            # doctest: +SKIP\n>>> a[1]\n'one'\n\nMore."
    assert site_pages.docstring_page(text) == (
        "Read.\n\n```pycon\n>>> a = read()\n>>> a[1]\n'one'\n```\n\nMore."
    )
