"""One table of verdicts across studies: every claim, also those that have not run."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

#: a claim without data
NOT_RUN = "not run"
TIERS = ("primary", "secondary", "exploratory")
#: what was published, and how the names of the studies that are about it begin
GROUPS = {
    "Lukkien: pruning and the explanatory quality of heatmaps": ("thesis_",),
    "Do sparse subnetworks exhibit cognitively aligned attention? (arXiv 2509.21387)": (
        "coginterp_",
    ),
    "The lottery ticket hypothesis with explainability methods (arXiv 2307.13698)": (
        "lth_",
        "norm_layer_ablation",
    ),
    "SPADE: sample-targeted pruning (arXiv 2310.04519)": ("spade_",),
    "Beyond the studies": ("four_datasets_", "concepts_", "distillation_", "pruning_ways"),
}


@dataclass(frozen=True)
class StudyClaims:
    """What a study claims, and what came out.

    Attributes
    ----------
    name : of the study.
    datasets : names of its data sets.
    claims : its claims as configured: mappings with `name`, `claim`, and optionally `tier`,
        `published`.
    table : its `claims.csv`; empty where it has not run.
    """

    name: str
    datasets: Sequence[str]
    claims: Sequence[Mapping[str, Any]]
    table: pd.DataFrame = field(default_factory=pd.DataFrame)

    @classmethod
    def of_table(cls, name: str, table: pd.DataFrame) -> "StudyClaims":
        """A study that has run, from its `claims.csv` alone."""
        rows = [{str(key): value for key, value in row.items()} for row in table.to_dict("records")]
        return cls(name, sorted(set(table["dataset"])), rows, table)

    def scale(self, claim: Mapping[str, Any]) -> str:
        """Whether a claim's images are generated (data sets of shapes), or the study is reduced.

        Reduced studies have names that end in "_cpu" or "_small". A claim is about the study's
        first data set unless it names another; one that pools others is about all.
        """
        first = claim.get("dataset", self.datasets[0])
        named = self.datasets if claim.get("test") == "pooled" else [first]
        if all(name.startswith("shapes") for name in named):
            return "generated"
        return "reduced" if self.name.endswith(("_cpu", "_small")) else "real data"


def verdict_rows(
    studies: Iterable[StudyClaims], groups: Mapping[str, tuple[str, ...]] = GROUPS
) -> dict[str, list[dict[str, Any]]]:
    """Rows by title of `groups`, each with its primary claims first; other studies are left out.

    A row has `study`, `scale`, `name`, `claim`, `tier`, `published`, `estimate`, `low`, `high`,
    `n_seeds`, `n_images`, `networks_needed`, `images_needed`, `pooled` (whether the row is one of
    several others), `verdict` (`NOT_RUN` without data) and `verdict_reason`. A claim that did not
    run in a study is left out where another study of the group has it: studies at full size and
    reduced ones make the same claims. `tier` is what the study declares; which of them were reached
    is in its `claims.csv`.
    """
    known = list(studies)
    found: dict[str, list[dict[str, Any]]] = {}
    for title, prefixes in groups.items():
        members = [one for one in known if one.name.startswith(prefixes)]
        rows = [row for one in members for row in _rows(one)]
        run = {row["name"] for row in rows if row["verdict"] != NOT_RUN}
        rows = [row for row in rows if row["verdict"] != NOT_RUN or row["name"] not in run]
        if rows:
            # what ran comes first; the order of the files is kept
            found[title] = sorted(
                rows, key=lambda row: (row["verdict"] == NOT_RUN, TIERS.index(row["tier"]))
            )
    return found


def _rows(study: StudyClaims) -> Iterable[dict[str, Any]]:
    decided = {row["name"]: row for row in study.table.to_dict("records")}
    for claim in study.claims:
        row = decided.get(claim["name"], {})
        numbers = ("estimate", "low", "high", "n_seeds", "n_images")
        needed = ("networks_needed", "images_needed")
        yield {
            "study": study.name,
            "scale": study.scale(claim),
            "name": claim["name"],
            "claim": claim["claim"],
            "tier": claim.get("tier", "exploratory"),
            "published": float(claim.get("published", math.nan)),
            **{key: _number(row.get(key)) for key in (*numbers, *needed)},
            "pooled": claim.get("test") == "pooled",
            "verdict": row.get("verdict", NOT_RUN),
            "verdict_reason": row.get("verdict_reason", ""),
        }


def _number(value: Any) -> float:
    """A number of a table, in which integers may be missing."""
    return math.nan if value is None or pd.isna(value) else float(value)


def count_verdicts(rows: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """How many rows have each verdict, the most frequent first."""
    return dict(Counter(row["verdict"] for row in rows).most_common())
