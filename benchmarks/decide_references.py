"""Decide the claims of references that were decided by sign alone, from their old tables.

`make references` writes `claims.csv`, its page and its figure, of each reference that has a
`claims_by_sign.csv`: the table as its run wrote it, before claims were decided against published
effects. That table has one value a network and an interval over images of their mean, and no
matrices. So the variance of an estimate is taken to be s²/S + V, with s² the variance of the S
networks' values and V that of the images (the half-width of their interval over 1.96, squared).
What networks and images leave over is counted in both, which makes intervals too wide rather than
too narrow. What the claims say, and how much matters, is in today's study file; claims that the run
did not make have no row.
"""

import json
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from keep_reference import keep_picture

from sparsight.analysis import tables
from sparsight.analysis.claims.base import Evidence
from sparsight.analysis.claims.decide import Found, claims_table, pooled
from sparsight.analysis.claims.kinds import Correlation, NoLoss, Pooled
from sparsight.analysis.claims.registry import CLAIMS
from sparsight.analysis.crossed import Components, Crossed
from sparsight.analysis.curves import Quantity
from sparsight.analysis.statistics import CORRELATION, CORRELATION_GAP, UNBOUNDED
from sparsight.analysis.tables import MOST_EMPTY
from sparsight.plots.claims import draw_claims
from sparsight.study.configuration import catalogue_and_study, normalise, overlaid, resolve
from sparsight.study.plan import Study
from sparsight.study.settings import TableSettings
from sparsight.study.yaml_files import load_yaml

ROOT = Path(__file__).parents[1]
REFERENCES = ROOT / "results" / "reference"
OLD = "claims_by_sign.csv"

_TREATMENT = "scored with negative attributions as 0, which SPADE does not do"
_UNCONVERGED = "the fits of the concepts had not converged"
#: study and column to values of it whose rows nothing can be said of, and why
NOT_TESTABLE: dict[tuple[str, str], dict[str, str]] = {
    ("thesis_mnist", "metric"): {"soft_iou": "empty maps were counted as an IoU of 0"},
    ("spade_imagenette_cpu", "metric"): {"pixel_roc_auc": _TREATMENT},
    ("spade_shapes", "metric"): {"pixel_roc_auc": _TREATMENT},
    ("lth_cub200_cpu", "explainer"): {"pcbm": _UNCONVERGED, "pcbm_predictor": _UNCONVERGED},
}

#: study to claims that are about other levels today, so that the run says nothing of them
OTHER_LEVELS = {
    "thesis_mnist": {
        *("same_course_beyond_trend", "same_course_beyond_control"),
        *("iou_rises_first", "correct_explains_better"),
    }
}


def claims_of(study: str) -> list[dict[str, Any]]:
    """Claims of a study with their defaults, in the order of its file."""
    below = catalogue_and_study(ROOT, own=True)
    whole, problems = resolve(normalise(overlaid(below, load_yaml(ROOT / f"studies/{study}.yaml"))))
    if problems:
        sys.exit("\n".join(problems))
    return list(TableSettings(Study(whole)).claims()["claims"])


def decide_again(folder: Path, claims: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Rows of today's `claims.csv`, of those claims that the run made.

    `folder` holds `claims_by_sign.csv`, `provenance.json`, and `levels.parquet` where maps can be
    empty.
    """
    old = pd.read_csv(folder / OLD, keep_default_na=False, dtype={"per_seed": "str"})
    commit = json.loads((folder / "provenance.json").read_text(encoding="utf-8"))["commit"][:7]
    old = old[~old["name"].isin(OTHER_LEVELS.get(folder.name, set()))]
    rows = {str(row["name"]): row for row in old.to_dict("records")}
    found: dict[str, Found] = {}
    tests = [CLAIMS.load(claim["test"])(claim) for claim in claims]
    for test in tests:
        row = rows.get(str(test.claim["name"]))
        if row is not None and row["test"] == test.claim["test"]:
            found[str(row["name"])] = _found(test, row, folder, commit)
    for test in tests:
        if isinstance(test, Pooled) and set(test.settings["of"]) <= set(found):
            found[str(test.claim["name"])] = pooled(test, found)
    names = [str(claim["name"]) for claim in claims]
    return claims_table([found[name] for name in names if name in found])


def _found(test: Any, row: Mapping[str, Any], folder: Path, commit: str) -> Found:
    values = np.array(tables.split_values(row["per_seed"]), dtype=np.float64)
    bounds, holds_to = UNBOUNDED, _number(row["holds_to"])
    if isinstance(test, NoLoss):
        holds_to = float(test.claim["smallest"])
    if isinstance(test, Correlation):
        bounds = CORRELATION_GAP if test.settings["minus_control"] else CORRELATION
    evidence = Evidence(
        str(row["statistic"]),
        Quantity(values, np.empty((len(values), 0))),
        holds_from=_number(row["holds_from"]),
        holds_to=holds_to,
        bounds=bounds,
        columns={key: str(row[key]) for key in ("explainer", "metric", "condition", "subset")},
        remark="; ".join(_remarks(row, commit)),
    )
    images = _images(row, folder)
    share = _empty_share(row, folder)
    return Found(
        test,
        evidence,
        evidence.question(test.claim),
        estimate(values, _half_width(row) / 1.96, images, bounds),
        seeds=range(len(values)),
        matrix=values[:, np.newaxis],
        empty_share=share,
        reason=_reason(folder.name, row, share),
    )


def estimate(values: np.ndarray, images_error: float, images: int, bounds: Any) -> Crossed:
    """The estimate from one value a network [S] and the images' standard error of their mean.

    `images` is how many there were; with 1 the images' part is 0.
    """
    defined = values[np.isfinite(values)]
    count = len(defined)
    if count < 2:
        mean = float(defined.mean()) if count else math.nan
        return Crossed(mean, math.nan, math.nan, count, bounds, images)
    between, shared = float(defined.var(ddof=1)), images_error**2
    parts = Components(between, shared * images, 0.0)
    variance, df = parts.at(count, images)
    return Crossed(float(defined.mean()), variance, df, count, bounds, images, parts)


def _remarks(row: Mapping[str, Any], commit: str) -> Iterator[str]:
    if row["remark"]:
        # what was said of a test that is no longer made
        yield from (part for part in str(row["remark"]).split("; ") if "no test" not in part)
    yield f"decided from the table of {commit}, without matrices"
    if _half_width(row) == 0.0:
        yield "without the images' error"


def _half_width(row: Mapping[str, Any]) -> float:
    low, high = _number(row["images_low"]), _number(row["images_high"])
    return 0.0 if math.isnan(low) or math.isnan(high) else (high - low) / 2.0


def _images(row: Mapping[str, Any], folder: Path) -> int:
    """Images of the claim's curves, on average; 1 where there are none, or it is unknown."""
    if _half_width(row) == 0.0:
        return 1
    if row["metric"] == "accuracy":
        frame = pd.read_parquet(folder / "evaluations.parquet")
        frame = frame[(frame["metric"] == "images") & (frame["split"] == "test")]
        return int(frame[frame["dataset"] == row["dataset"]]["value"].max())
    frame = _levels(row, folder)
    return round(float(frame["n"].mean())) if len(frame) else 1


def _levels(row: Mapping[str, Any], folder: Path) -> pd.DataFrame:
    """Rows of `levels` of a claim's explainer and metric; of its first ones for the accuracy."""
    path = folder / "levels.parquet"
    if not path.is_file():
        return pd.DataFrame(columns=["n", "undefined", "level", "seed"])
    frame = pd.read_parquet(path)
    for key in ("dataset", "model", "pruner"):
        frame = frame[frame[key] == row[key]]
    if row["metric"] == "accuracy":
        return frame[:0]
    subset = row["subset"] if row["subset"] in set(frame["subset"]) else "all"
    wanted = {"explainer": row["explainer"], "metric": row["metric"], "subset": subset}
    for key, value in wanted.items():
        frame = frame[frame[key] == value]
    return frame


def _empty_share(row: Mapping[str, Any], folder: Path) -> float:
    """Largest share of images at a level that the run left out, as their maps were empty."""
    frame = _levels(row, folder).groupby("level")[["n", "undefined"]].sum()
    shares = frame["undefined"] / (frame["n"] + frame["undefined"])
    return float(shares.max()) if len(shares) else math.nan


def _reason(study: str, row: Mapping[str, Any], share: float) -> str:
    for (of, column), reasons in NOT_TESTABLE.items():
        if of == study and row[column] in reasons:
            return reasons[row[column]]
    if share > MOST_EMPTY:
        # also of pooled claims, from which it is left out
        return f"maps were empty in {100 * share:.0f}% of the images of a level, and left out"
    return ""


def _number(value: Any) -> float:
    return math.nan if value in ("", None) else float(value)


def main() -> None:
    """Write `claims.csv` of every reference that has an old table, its page and its figure."""
    for path in sorted(REFERENCES.glob(f"*/{OLD}")):
        folder = path.parent
        table = decide_again(folder, claims_of(folder.name))
        tables.write("claims", folder / "claims.csv", table)
        figure = folder / "figures" / "claims.png"
        draw_claims(folder / "claims.csv", [figure], folder / "claims.html", {"study": folder.name})
        keep_picture(figure, figure)
        print(f"{folder.name}: {table['verdict'].value_counts().to_dict()}")


if __name__ == "__main__":
    main()
