"""What `methods.md` and `references.bib` say of a study."""

import re
from pathlib import Path

import pytest

from sparsight.analysis.claims.registry import CLAIMS
from sparsight.concepts.registry import CONCEPTS
from sparsight.data.registry import SOURCES
from sparsight.explain.registry import EXPLAINERS
from sparsight.metrics.registry import AGREEMENT, METRICS
from sparsight.models.registry import MODELS
from sparsight.pruning.registry import CRITERIA
from sparsight.spade.registry import SOLVERS
from sparsight.study.configuration import catalogue_and_study, normalise, overlaid, resolve
from sparsight.study.methods import (
    PAPERS,
    Bibliography,
    Citation,
    bibtex,
    citations,
    methods_of,
    recipe_in_words,
    run,
    without_paper,
    words,
)
from sparsight.study.plan import Study
from sparsight.study.yaml_files import load_yaml
from tests.linters.source_files import listed

ROOT = Path(__file__).parents[3]
REGISTRIES = (
    *(SOURCES, MODELS, CRITERIA, EXPLAINERS, METRICS, AGREEMENT, CONCEPTS, SOLVERS, CLAIMS),
)


def registered():
    """Kind, name and reference of every registered item, and of the adapters to libraries."""
    for registry in REGISTRIES:
        for name in [*registry.entries, *(f"{prefix}.Name" for prefix in registry.adapters)]:
            facts = {"reference": "not ours", **registry.facts(name)}
            yield f"{registry.kind} {name}", facts["reference"]


def test_every_registered_item_has_a_paper_or_says_that_it_has_none():
    found = []
    for place, reference in registered():
        papers = citations(reference)
        if not papers and not without_paper(reference):
            found.append(f"{place}: no paper in '{reference}'")
        # every identifier belongs to one of them, and no words were taken for authors
        given = re.findall(r"(?i)arxiv|doi:|github\.com", reference)
        stated = [paper for paper in papers if paper.arxiv or paper.doi or paper.url]
        if len(given) != len(stated):
            found.append(f"{place}: {len(stated)} of {len(given)} identifiers of '{reference}'")
    assert not found, listed(found)


@pytest.mark.parametrize("reference", PAPERS.values())
def test_papers_beside_the_items_have_authors_and_years(reference):
    assert all(paper.authors and paper.year for paper in citations(reference))


@pytest.mark.parametrize(
    ("reference", "papers"),
    [
        ("control", []),
        ("Selvaraju et al. 2017, arXiv 1610.02391", [("Selvaraju et al.", "2017", "1610.02391")]),
        ("arXiv:2509.21387", [("", "2025", "2509.21387")]),
        ("the user's own images; layout of Yang et al. 2023", [("Yang et al.", "2023", "")]),
        (
            "Xiao, Rasul, Vollgraf 2017, arXiv:1708.07747",
            [("Xiao, Rasul, Vollgraf", "2017", "1708.07747")],
        ),
        (
            "Sixt et al., ICML 2020, arXiv:1912.09818; as in quantus.RandomLogit",
            [("Sixt et al.", "2020", "1912.09818")],
        ),
        (
            "Yeh et al., NeurIPS 2019, arXiv:1901.09392; the mean after Bhatt et al., IJCAI 2020, "
            "arXiv:2005.00631",
            [("Yeh et al.", "2019", "1901.09392"), ("Bhatt et al.", "2020", "2005.00631")],
        ),
        (
            "after Soltani Moakhar et al. 2024, arXiv:2310.04519",
            [("Soltani Moakhar et al.", "2024", "2310.04519")],
        ),
        ("as found (arXiv 2509.21387, arXiv 2307.13698)", [
            ("", "2025", "2509.21387"), ("", "2023", "2307.13698"),
        ]),
    ],
)  # fmt: skip
def test_references_are_read(reference, papers):
    assert [(p.authors, p.year, p.arxiv) for p in citations(reference)] == papers


def test_venues_dois_and_titles_are_read():
    (paper,) = citations("Wang et al., IEEE Trans. Image Process. 13 (2004), doi:10.1109/TIP.8; x")
    assert paper == Citation(
        "Wang et al.", "2004", "IEEE Trans. Image Process. 13", doi="10.1109/TIP.8"
    )
    (paper,) = citations("Lukkien, The effect of pruning on maps, equation 2.8 on binary sets")
    assert paper == Citation("Lukkien", title="The effect of pruning on maps")
    assert citations("Howard 2019, https://github.com/fastai/imagenette; x") == citations(
        "Howard 2019, github.com/fastai/imagenette"
    )
    (paper,) = citations("control; centre bias: Tatler 2007, doi:10.1167/7.14.4")
    assert (paper.authors, paper.doi) == ("Tatler", "10.1167/7.14.4")


def test_keys_are_unique_and_the_fullest_citation_counts():
    papers = Bibliography()
    for reference in (
        "arXiv:2310.04519",
        "Soltani Moakhar et al., ICML 2024, arXiv 2310.04519; Wang et al. 2020, arXiv:1910.01279",
        "Wang et al. 2020, arXiv:2011.08891",
        "Hedström et al. 2024, arXiv:2401.06465",
    ):
        papers.collect(reference)
    papers.settle()
    keys = ["hedstrom2024", "soltanimoakhar2024", "wang2020a", "wang2020b"]
    assert list(papers.entries()) == keys
    assert papers.cite("control; arXiv:2310.04519") == " (control) [@soltanimoakhar2024]"
    assert papers.cite("control") == " (control)"
    assert papers.cite("the user's own images; as told") == " (the user's own images)"
    assert bibtex("soltanimoakhar2024", papers.entries()["soltanimoakhar2024"]) == (
        "@misc{soltanimoakhar2024,\n  author = {{Soltani Moakhar} and others},\n  year = {2024},\n"
        "  howpublished = {ICML},\n  eprint = {2310.04519},\n  archiveprefix = {arXiv}\n}\n"
    )


def test_articles_have_a_journal_and_two_authors_are_both_named():
    (paper,) = citations("Obuchowski & Rockette, Commun. Stat. 24 (1995), doi:10.1080/036")
    assert bibtex("o", paper).startswith("@article{o,\n  author = {Obuchowski and Rockette},")
    assert "journal = {Commun. Stat. 24}" in bibtex("o", paper)


def test_values_and_recipes_are_words():
    assert words({"learning_rate": 0.02, "nesterov": True, "decay": False, "size": [8, 9]}) == (
        "learning rate 0.02, nesterov, size [8, 9]"
    )
    recipe = {
        "epochs": 20,
        "batch_size": 32,
        "optimiser": {"name": "sgd", "learning_rate": 0.01},
        "schedule": {"name": "cosine"},
        "augment": {"flip": True, "random_resized_crop": {}},
        "label_smoothing": 0,
        "noise": False,
        "select": "best_validation",
    }
    assert recipe_in_words(recipe) == (
        "20 epochs in batches of 32, with sgd (learning rate 0.01), a cosine schedule, "
        "augmented by flip, default random resized crop, "
        "keeping the epoch that is best on validation"
    )
    assert recipe_in_words({"epochs": 0}) == "no training"


@pytest.mark.parametrize("name", ["everything", "thesis_mnist", "norm_layer_ablation"])
def test_everything_that_a_study_uses_is_named_and_every_key_stands_in_the_list(name, tmp_path):
    given = load_yaml(ROOT / "studies" / f"{name}.yaml")
    whole, problems = resolve(normalise(overlaid(catalogue_and_study(ROOT, own=True), given)))
    assert problems == []
    study = Study(whole)
    # as Snakemake gives it to the job
    run(tmp_path / "methods.md", tmp_path / "references.bib", normalise(methods_of(study)))
    text = (tmp_path / "methods.md").read_text(encoding="utf-8")
    chosen = [
        *(name for group in ("datasets", "models", "pruners") for name in study.config[group]),
        *(n for n in study.config["explainers"] if "__" not in n),
        *(n for group in ("metrics", "agreement", "concepts") for n in study.config[group]),
        *study.config["sample_pruning"]["pruners"],
        *(claim["name"] for claim in study.config["claims"]),
    ]
    missing = (n for n in chosen if f"(`{n}`)" not in text and f"* *{n}*" not in text)
    assert [*missing] == []
    entries = re.findall(r"^@\w+\{([^,]+),", (tmp_path / "references.bib").read_text("utf-8"), re.M)
    assert len(entries) == len(set(entries))
    cited = {key for found in re.findall(r"\[(@[^\]]+)\]", text) for key in found.split("; ")}
    assert cited - {"@key"} == {f"@{key}" for key in entries}
    # one file is the other's list
    assert re.findall(r"^\* (\S+): ", text.partition("## References")[2], re.M) == entries
    assert "None" not in text
    assert "{" not in text
