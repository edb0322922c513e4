"""The table on the console."""

import numpy as np
import pandas as pd
import pytest

from sparsight.analysis.show import MOST_LINES, correlation_lines, main
from sparsight.io.errors import InputError
from tests.tables import write_rows


def row(explainer="cam", metric="soft_iou", r=0.5, **more):
    names = {"dataset": "digits", "model": "cnn", "pruner": "magnitude", "condition": "clean"}
    return {
        **names,
        **{"explainer": explainer, "metric": metric, "subset": "all", "levels": "all"},
        **{"control": "false", "seed": "mean", "n_seeds": 3, "n_levels": 6, "pearson": r},
        **{"pearson_low": r - 0.1, "pearson_high": r + 0.1, "pearson_seeds": 3},
        **{"published_form": r + 0.2, **more},
    }


@pytest.fixture
def show(tmp_path):
    def shown(*rows, **more):
        write_rows("correlations", tmp_path / "c.csv", pd.DataFrame(rows))
        return correlation_lines(tmp_path / "c.csv", **more)

    return shown


def test_one_line_per_explainer(show):
    text = show(
        row("cam", r=0.5),
        row("a_control", r=-0.25, control="true"),
        row("flat", r=np.nan, control="true"),
        row("silent", r=np.nan),
        row("cam", seed="1", r=0.9),
        row("cam", subset="correct_at_both", r=0.9),
        row("cam", levels="density_at_least_0.02", r=0.9),
    )
    title, _, *lines = text.splitlines()
    assert "of soft_iou with accuracy" in title
    cam, silent, control = (" ".join(line.split()) for line in lines)
    assert cam == "digits magnitude cam +0.500 [+0.400, +0.600] +0.700"
    assert silent == "digits magnitude silent – – –"
    assert control.startswith("digits magnitude a_control (control) -0.250")


def test_one_metric_and_the_names_of_the_others(show):
    rows = [row(metric=name) for name in ("entropy", "soft_iou", "zebra")]
    assert "of soft_iou with" in show(*rows)
    assert "also has entropy, zebra\n" in show(*rows)
    assert "of zebra with" in show(*rows, metric="zebra")
    assert "of entropy with" in show(rows[0], rows[2])
    with pytest.raises(InputError, match="no metric 'iou'; it has entropy, soft_iou, zebra"):
        show(*rows, metric="iou")


def test_a_screen_is_not_exceeded(show):
    rows = [row(f"e{i:03}") for i in range(MOST_LINES + 7)]
    text = show(*rows)
    assert "… and 7 more" in text
    assert len(text.splitlines()) == MOST_LINES + 3


def test_no_correlations(show):
    assert "has no correlations" in show()


def test_entry_point(show, tmp_path, capsys):
    show(row())
    main([str(tmp_path / "c.csv"), "soft_iou"])
    assert "+0.500" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="does not exist"):
        main([str(tmp_path / "nothing.csv")])
    with pytest.raises(SystemExit, match="Give the path"):
        main([])
