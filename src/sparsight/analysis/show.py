"""Show correlations on the console: `python -m sparsight.analysis.show correlations.csv`."""

import sys
from pathlib import Path

import pandas as pd

from sparsight.analysis import tables
from sparsight.io.errors import InputError

# The metric of the published study comes first where there is one.
FIRST_METRIC = "soft_iou"
#: what fits a screen
MOST_LINES = 30


def correlation_lines(path: Path, metric: str | None = None) -> str:
    """A compact text table of `correlations.csv`: mean r over seeds, its interval, published r.

    Only rows over all levels and all images, and only one metric: `soft_iou` by default, or the
    first of the table where it is not (an unknown one is an `InputError`). Controls come last;
    those whose score is constant everywhere are left out, other undefined values show as a dash.
    """
    rows = tables.read("correlations", path).query(
        f"seed == '{tables.MEAN}' and levels == 'all' and subset == 'all'"
    )
    metrics = sorted(rows["metric"].unique())
    if metric is not None and metric not in metrics:
        raise InputError(f"{path} has no metric '{metric}'; it has {', '.join(metrics) or 'none'}")
    if not metrics:
        return f"{path} has no correlations: no pruner has three levels.\n"
    chosen = metric or (FIRST_METRIC if FIRST_METRIC in metrics else metrics[0])
    rows = rows[(rows["metric"] == chosen) & ~(rows["control"] & rows["pearson"].isna())]
    rows = rows.sort_values(["dataset", "model", "pruner", "condition", "control", "explainer"])
    title = (
        f"Correlation of {chosen} with accuracy over levels (Pearson r: mean over seeds; "
        "interval over seeds on Fisher's scale; – where a series is constant)"
    )
    lines = [title, _table(rows.head(MOST_LINES)).to_string(index=False)]
    if len(rows) > MOST_LINES:
        lines.append(f"… and {len(rows) - MOST_LINES} more explainers and pruners")
    others = [name for name in metrics if name != chosen]
    if others:
        lines.append(f"{path} also has {', '.join(others)}")
    return "\n".join(lines) + "\n"


def _table(rows: pd.DataFrame) -> pd.DataFrame:
    shown = rows[["dataset", "pruner", "explainer"]].copy()
    shown["explainer"] += rows["control"].map({True: " (control)", False: ""})
    columns = ["pearson", "pearson_low", "pearson_high", "published_form"]
    r, low, high, published = (
        rows[name].map("{:+.3f}".format).replace("+nan", "–") for name in columns
    )
    shown["r"] = r
    shown["95% interval"] = ("[" + low + ", " + high + "]").replace("[–, –]", "–")
    shown["as published"] = published
    return shown


def main(arguments: list[str]) -> None:
    """Entry point; leaves with an error message when the file cannot be used."""
    if len(arguments) not in (1, 2):
        sys.exit("Give the path of one correlations.csv, and a metric if you like.")
    try:
        sys.stdout.write(correlation_lines(Path(arguments[0]), *arguments[1:]))
    except InputError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main(sys.argv[1:])
