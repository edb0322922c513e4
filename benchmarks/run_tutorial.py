"""Run the code of `docs/tutorial.ipynb`, without Jupyter.

`make tutorial` writes the tables and pictures that it gives into the notebook.
"""

import ast
import base64
import io
import json
from pathlib import Path
from typing import Any

TUTORIAL = Path(__file__).parents[1] / "docs" / "tutorial.ipynb"


def code_cells(notebook: dict[str, Any]) -> list[dict[str, Any]]:
    """The cells of a notebook that are run, in order."""
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def run(notebook: dict[str, Any]) -> dict[str, Any]:
    """Run all cells in one namespace, which is returned, and put what they show into them.

    As in Jupyter, a cell shows the value of its last expression and the figures that it drew.
    """
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    names: dict[str, Any] = {}
    for count, cell in enumerate(code_cells(notebook), 1):
        tree = ast.parse("".join(cell["source"]))
        last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
        exec(compile(tree, f"cell {count}", "exec"), names)
        value = None
        if isinstance(last, ast.Expr):
            value = eval(compile(ast.Expression(last.value), f"cell {count}", "eval"), names)
        cell["execution_count"], cell["outputs"] = count, []
        if hasattr(value, "_repr_html_"):
            shown = {"text/plain": repr(value), "text/html": value._repr_html_()}
            cell["outputs"].append(_output("execute_result", shown) | {"execution_count": count})
        for number in pyplot.get_fignums():
            picture = base64.b64encode(_png(pyplot.figure(number))).decode()
            cell["outputs"].append(_output("display_data", {"image/png": picture}))
        pyplot.close("all")
    return names


def _png(figure: Any) -> bytes:
    """A figure in 256 colours, which is enough for maps and half of the bytes."""
    from PIL import Image

    drawn, small = io.BytesIO(), io.BytesIO()
    figure.savefig(drawn, format="png", dpi=80, bbox_inches="tight")
    Image.open(drawn).convert("RGB").quantize(256).save(small, format="png", optimize=True)
    return small.getvalue()


def _output(kind: str, data: dict[str, str]) -> dict[str, Any]:
    return {"output_type": kind, "metadata": {}, "data": data}


if __name__ == "__main__":
    opened = json.loads(TUTORIAL.read_text(encoding="utf-8"))
    run(opened)
    written = json.dumps(opened, indent=1, ensure_ascii=False)
    TUTORIAL.write_text(written + "\n", encoding="utf-8")
