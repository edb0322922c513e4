"""What the report of a study shows, in which order, and what it calls it.

Snakemake sorts categories, and the pages of one, by name. Every figure and table becomes a page
(`sparsight.plots.report`) in the folder of its category.
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import PurePath
from typing import Any, NamedTuple

from sparsight.study.plan import available_images
from sparsight.study.settings import FigureSettings

#: folder of pages to the category of the report
CATEGORIES = {
    "answer": "0 Answer",
    "claims": "1 Claims",
    "accuracy": "2 Accuracy",
    "explanations": "3 Explanations",
    "correlations": "4 Correlations",
    "agreement": "5 Agreement",
    "tables": "6 Tables",
    "concepts": "7 Concepts",
}
#: figures that carry the answer
CARRYING = 3


class Kind(NamedTuple):
    """A kind of figure or table.

    Attributes
    ----------
    folder : of its page, a key of `CATEGORIES`.
    caption : name of its caption in `workflow/report`.
    title : what tells it from others.
    suffix : of the file that is shown; many small pictures are smaller as png.
    rest : what stands in its file's name after data set and model.
    """

    folder: str
    caption: str
    title: str
    suffix: str = "svg"
    rest: tuple[str, ...] = ()


_METRIC = ("metric",)
#: folder or name of figures to their kind
FIGURES = {
    "claims": Kind("claims", "claims", "claims, drawn"),
    "accuracy": Kind("accuracy", "accuracy", "accuracy"),
    "heatmaps": Kind("explanations", "heatmaps", "maps", "png", ("pruner",)),
    "metrics": Kind("explanations", "metric", "level by level", rest=_METRIC),
    "contrasts": Kind("explanations", "contrasts_figure", "change from dense", rest=_METRIC),
    "strata": Kind("explanations", "strata_figure", "hard and easy images", rest=_METRIC),
    "correctness": Kind("explanations", "correctness_figure", "right and wrong", rest=_METRIC),
    "curves": Kind("explanations", "curves_figure", "step by step", rest=_METRIC),
    "sample_pruning": Kind("explanations", "sample_pruning", "sample-targeted pruning"),
    "sample_pruning_toy": Kind("explanations", "toy", "toy of two regions", "png"),
    "visualisation": Kind("explanations", "visualisation", "feature visualisation", "png"),
    "correlation_tables": Kind("correlations", "correlation_table", "overview"),
    "correlations": Kind("correlations", "correlations", "in detail"),
    "agreement": Kind("agreement", "agreement_figure", "level by level", rest=_METRIC),
    "equal_accuracy": Kind("agreement", "equal_accuracy_figure", "at equal accuracy", rest=_METRIC),
    "checkpoints": Kind("agreement", "checkpoints_figure", "every checkpoint", rest=_METRIC),
    "concepts": Kind("concepts", "concepts_figure", "level by level", rest=("concept",)),
    "concept_sheets": Kind("concepts", "concept_sheet", "crops", "png", ("pruner", "concept")),
}
#: table to its caption where that is called otherwise
TABLE_CAPTIONS = {"sample_pruning_toy": "toy"}


class ReportSettings(FigureSettings):
    """The `settings` of the rule that writes the pages of the report."""

    def pages(self, figures: Iterable[str], tables: Iterable[str]) -> Iterator[dict[str, Any]]:
        """Each page: its `title`, `page` and `file`, `caption`, `labels` and `names`.

        `labels` are those of the report; `names` says what a figure is of, by column of the tables.

        Parameters
        ----------
        figures : files below the folder of figures, such as `metrics/digits__cnn__soft_iou.svg`.
        tables : names, such as `levels`.
        """
        for file in figures:
            path = PurePath(file)
            kind = FIGURES.get(path.parts[0], FIGURES.get(path.stem))
            if kind is None or path.suffix != f".{kind.suffix}":
                continue
            parts = path.stem.split("__") if len(path.parts) > 1 else []
            columns = ("dataset", "model", *kind.rest)
            # The last name may hold underscores of its own.
            last = "__".join(parts[len(columns) - 1 :])
            names = dict(zip(columns, [*parts[: len(columns) - 1], last], strict=False))
            named = {c: self.labels()[c][n] for c, n in names.items()} if parts else {}
            of = [n for c, n in named.items() if c not in ("dataset", "model")]
            where = f"{named['model']} on {named['dataset']}" if named else ""
            yield {
                "title": ", ".join(filter(None, [kind.title, *of, where])),
                "page": f"{kind.folder}/{path.parent.name or 'figure'}__{path.stem}.html",
                "file": file,
                "caption": kind.caption,
                "labels": {"figure": kind.title, **{_HEADS.get(c, c): n for c, n in named.items()}},
                "names": names if parts else {},
            }
        for name in tables:
            yield {
                "title": name.replace("_", " "),
                "page": f"tables/{name}.html",
                "file": f"{name}.csv",
                "caption": TABLE_CAPTIONS.get(name, name),
                "labels": {"table": name.replace("_", " ")},
                "names": {},
            }

    def of_page(
        self, figures: Iterable[str], tables: Iterable[str]
    ) -> dict[tuple[str, str], dict[str, str]]:
        """Folder and name of each page to its labels; the page of the answer too."""
        found = {("answer", "answer"): {"page": "the answer: verdicts, and the figures behind"}}
        for page in self.pages(figures, tables):
            path = PurePath(page["page"])
            found[str(path.parent), path.stem] = page["labels"]
        return found

    def report(self, figures: Iterable[str], tables: Iterable[str]) -> dict[str, Any]:
        """Writing the pages of the report."""
        pages = list(self.pages(list(figures), list(tables)))
        facts = {**self._tables.metric_facts()}
        facts |= {name: self._tables.step_facts(name) for name in self._tables.step_metrics()}
        return {
            "study": self.study.name,
            "pages": pages,
            "carrying": self._carrying([page["file"] for page in pages]),
            "labels": self.labels(),
            "metrics": facts,
            "statistics": dict(self.config["statistics"]),
            "confidence": self.config["statistics"]["confidence"],
            "retrain": self.study.retraining_pruners(),
            "claims": bool(self.config["claims"]),
            "counts": {
                f"{network.dataset}/{network.model}": self._counted(network.dataset, network.model)
                for network in self.study.networks()
            },
        }

    def _counted(self, dataset: str, model: str) -> str:
        """How many networks, levels and images the figures of a network are made of."""
        network = self.study.network(dataset, model)
        pruners = self.study.pruning_pruners(network)
        levels = 1 + max((self.study.level_count(name) for name in pruners), default=0)
        wanted = {self.study.explaining(f)["images"] for f in self._families(dataset, model)}
        whole = available_images(self.study, dataset)
        images = sorted({whole if one == "all" else int(one) for one in wanted})
        counts = [_count(len(network.seeds), "trained network"), _count(levels, "level")]
        if images:
            counts.append(f"{' or '.join(f'{n:,}' for n in images)} explained images")
        return ", ".join(counts)

    def _carrying(self, files: list[str]) -> list[str]:
        """The figures that carry the answer: those of the first claim, or the first there are."""
        claims = self.config["claims"]
        first = self.study.networks()[0]
        main = next((c for c in claims if c.get("tier") == "primary"), claims[0] if claims else {})
        network = f"{main.get('dataset', first.dataset)}__{main.get('model', first.model)}"
        metrics = [main.get("metric"), main.get("of"), *self.config["agreement"], *first.metrics]
        wanted = ["claims.svg"]
        for metric in filter(None, metrics):
            wanted += [f"agreement/{network}__{metric}.svg", f"metrics/{network}__{metric}.svg"]
        found = [file for file in wanted if file in files][: CARRYING - 1]
        others = (f"accuracy/{network}.svg", *files)
        return list(dict.fromkeys([*found, *(file for file in others if file in files)]))[:CARRYING]


_HEADS: Mapping[str, str] = {"dataset": "data set"}


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
