"""Show correlations on the console: `python -m sparsight.analysis.show correlations.csv`."""

import sys
from pathlib import Path

from sparsight.analysis.correlate import MEAN
from sparsight.analysis.summaries import read_correlations
from sparsight.io.errors import InputError


def correlation_lines(path: Path) -> str:
    """A compact text table: per metric and explainer, mean r over seeds, its interval, published r.

    Only rows over all levels and all images; undefined values (constant series) show as a dash.
    """
    frame = read_correlations(path)
    rows = frame[(frame["seed"].astype(str) == MEAN) & (frame["levels"] == "all")]
    rows = rows[rows["subset"] == "all"].sort_values(
        ["dataset", "model", "pruner", "metric", "control", "explainer"]
    )
    shown = rows[["dataset", "pruner", "metric", "explainer"]].copy()
    shown["r"] = rows["pearson"].map(_number)
    low, high = rows["pearson_low"].map(_number), rows["pearson_high"].map(_number)
    shown["95% interval"] = [
        f"[{a}, {b}]" if a != "–" else "–" for a, b in zip(low, high, strict=True)
    ]
    shown["as published"] = rows["published_form"].map(_number)
    title = (
        "Correlation with accuracy over levels (Pearson r: mean over seeds; t interval over seeds, "
        "which may pass 1; – where a series is constant)"
    )
    return f"{title}\n{shown.to_string(index=False)}\n"


def _number(value: float) -> str:
    return "–" if value != value else f"{value:+.3f}"


def main(arguments: list[str]) -> None:
    """Entry point; leaves with a sentence when the file cannot be used."""
    if len(arguments) != 1:
        sys.exit("Give the path of one correlations.csv.")
    try:
        sys.stdout.write(correlation_lines(Path(arguments[0])))
    except InputError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main(sys.argv[1:])
