"""One table of verdicts across studies."""

import math

import pandas as pd

from sparsight.analysis.verdict_table import NOT_RUN, StudyClaims, count_verdicts, verdict_rows

GROUPS = {"First": ("one_",), "Second": ("two",)}


def claims(*names: str, **more: object) -> list[dict[str, object]]:
    return [{"name": name, "claim": f"It is {name}.", **more} for name in names]


def table(*names: str, verdict: str = "open") -> pd.DataFrame:
    rows = [
        {"name": name, "estimate": 0.1, "low": 0.0, "high": 0.2, "n_seeds": 3, "n_images": 40}
        | {"networks_needed": None, "verdict": verdict, "verdict_reason": "9 networks"}
        for name in names
    ]
    return pd.DataFrame(rows)


def names(rows: list[dict[str, object]]) -> list[tuple[object, object, object]]:
    return [(row["study"], row["name"], row["verdict"]) for row in rows]


def test_what_did_not_run_is_listed_unless_another_study_of_the_group_has_it() -> None:
    full = StudyClaims("one_full", ["birds"], claims("a", "b"))
    reduced = StudyClaims("one_cpu", ["birds_64"], claims("a", "c"), table("a"))
    other = StudyClaims("two", ["digits"], claims("a"))
    unknown = StudyClaims("three", ["digits"], claims("a"))
    found = verdict_rows([full, reduced, other, unknown], GROUPS)
    assert list(found) == ["First", "Second"]
    assert names(found["First"]) == [
        ("one_cpu", "a", "open"),
        ("one_full", "b", NOT_RUN),
        ("one_cpu", "c", NOT_RUN),
    ]
    # of another group: a claim of that name is another claim
    assert names(found["Second"]) == [("two", "a", NOT_RUN)]
    assert count_verdicts(found["First"]) == {NOT_RUN: 2, "open": 1}


def test_primary_claims_come_first_and_the_order_of_the_file_is_kept() -> None:
    given = [
        *claims("a", tier="secondary"),
        *claims("b"),
        *claims("c", tier="primary"),
        *claims("d", tier="secondary"),
    ]
    study = StudyClaims("two", ["digits"], given, table("a", "b", "c", "d"))
    (rows,) = verdict_rows([study], GROUPS).values()
    assert [row["name"] for row in rows] == ["c", "a", "d", "b"]


def test_numbers_come_from_the_table_and_the_published_one_from_the_study() -> None:
    study = StudyClaims("two", ["digits"], claims("a", "b", published=0.5), table("a"))
    (run, left) = verdict_rows([study], GROUPS)["Second"]
    assert (run["published"], run["estimate"], run["n_images"]) == (0.5, 0.1, 40)
    assert (run["verdict_reason"], left["verdict_reason"]) == ("9 networks", "")
    assert left["published"] == 0.5
    assert all(math.isnan(left[key]) for key in ("estimate", "low", "n_seeds", "images_needed"))
    assert math.isnan(run["networks_needed"])


def test_the_scale_is_that_of_a_claims_own_images() -> None:
    def scale(name: str, *datasets: str, **claim: str) -> str:
        return StudyClaims(name, datasets, []).scale(claim)

    assert scale("spade_imagenette_cpu", "imagenette_64") == "reduced"
    assert scale("four_datasets_small", "mnist", "shapes") == "reduced"
    assert scale("norm_layer_ablation", "shapes_32") == "generated"
    assert scale("thesis_mnist", "mnist") == "real data"
    assert scale("demo", "digits", "shapes") == "real data"
    assert scale("demo", "digits", "shapes", dataset="shapes") == "generated"
    assert scale("demo", "digits", "shapes", dataset="shapes", test="pooled") == "real data"
