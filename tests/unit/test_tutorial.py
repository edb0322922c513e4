"""`docs/tutorial.ipynb` is short, and runs."""

import json
from pathlib import Path
from types import ModuleType

import nbformat
import pytest

TUTORIAL = Path(__file__).parents[2] / "docs" / "tutorial.ipynb"
#: from a network and 16 images to maps, scores, a pruned twin and a picture
MOST_LINES = 30


@pytest.fixture
def tutorial(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """What runs the tutorial; its folder is no package."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
    import run_tutorial

    return run_tutorial


def lines_of(cell):
    lines = [line.strip() for line in "".join(cell["source"]).splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


def test_the_tutorial_is_short_shows_what_it_gives_and_runs(tutorial):
    notebook = json.loads(TUTORIAL.read_text(encoding="utf-8"))
    nbformat.validate(notebook)
    cells = tutorial.code_cells(notebook)
    assert sum(len(lines_of(cell)) for cell in cells) <= MOST_LINES

    def shown():
        outputs = [output for cell in cells for output in cell["outputs"]]
        return [sorted(output["data"]) for output in outputs]

    committed = shown()
    assert committed == [["text/html", "text/plain"], ["text/html", "text/plain"], ["image/png"]]
    names = tutorial.run(notebook)
    # the numbers may differ from one processor to another
    assert shown() == committed
    maps, twin_maps, count = names["maps"], names["twin_maps"], len(names["images"])
    assert count == 16
    assert [len(one) for one in (*maps.values(), *twin_maps.values())] == 6 * [count]
    assert len(names["scores"]) == 3 * 2 * count
    left = sum(int(mask.sum()) for mask in names["weights_left"].values())
    weights = [
        m.weight for m in names["twin"].modules() if type(m).__name__ in ("Conv2d", "Linear")
    ]
    assert sum(int((weight != 0).sum()) for weight in weights) == left
    assert left / sum(weight.numel() for weight in weights) == pytest.approx(0.3, abs=0.001)
    # a control knows no network, an explanation does
    agreement = names["agreement"].groupby(["explainer", "metric"])["value"].mean()
    assert agreement["edges", "spearman"] == pytest.approx(1)
    assert agreement["integrated_gradients", "spearman"] < 0.99
