"""The jobs of a study, how much work each of them is, and how many bytes it writes.

Work is counted in passes through networks, pixels of maps and rows of tables, as the configuration
alone says it.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from sparsight.analysis.cost_model import CostJob
from sparsight.data.registry import SOURCES
from sparsight.explain.base import build_explainers
from sparsight.io.errors import InputError
from sparsight.metrics.registry import METRICS
from sparsight.models.networks import NetworkSize, network_size
from sparsight.study.plan import (
    DENSE,
    TROJANED,
    Network,
    Study,
    available_images,
    class_names,
    has_masks,
    map_size,
    metric_facts,
    shape_of_images,
    stored_bytes,
)
from sparsight.training.options import SELECTIONS


@dataclass(frozen=True)
class PlannedJob:
    """One job: what it reads and writes, whether it asks for a GPU, what memory it reserves."""

    rule: str
    wildcards: Mapping[str, str] = field(default_factory=dict)
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    gpu: bool = False
    memory_mb: int = 0

    def key(self) -> tuple[str, str, str, str]:
        """What jobs that cost alike have in common: rule, data set, model, and what it works on.

        The last is the family of explainers, the concept method or the sample pruner, as in the
        column `family` of `costs.csv`.
        """
        found = self.wildcards
        names = ("family", "concept", "sample_pruner", "metric")
        what = next((found[name] for name in names if name in found), "")
        return self.rule, found.get("dataset", ""), found.get("model", ""), what


class ImageCounts:
    """Images of each split of a study's data sets.

    `given` says data set to split to images, for data sets whose files hold a part of the images,
    and for sources that do not say how many they have. It may hold no other data sets.
    """

    def __init__(self, study: Study, given: Mapping[str, Mapping[str, int]] | None = None) -> None:
        self.study = study
        self.given = dict(given or {})
        for name in self.given:
            if name not in study.prepared_datasets():
                raise InputError(
                    f"Images are given of '{name}', which {study.name} does not have; it has "
                    + ", ".join(study.prepared_datasets())
                )

    def split(self, dataset: str, split: str) -> int:
        """Images of a split: train, validation or test; exact but for shares of drawn splits.

        An `InputError` for a source whose number of images is not known.
        """
        if dataset in self.given:
            return int(self.given[dataset].get(split, 0))
        if split == "test":
            return available_images(self.study, dataset)
        source, options = self._source(dataset)
        wanted = options.get("split", {})
        wanted = wanted if isinstance(wanted, Mapping) else {}
        training = wanted.get("train") or self._original(dataset, source)
        share = wanted.get("validation", 0)
        if isinstance(options.get("validation"), Mapping):
            share = options["validation"].get("share", 0)
        validation = round(share * training) if 0 < share < 1 else int(share)
        if split == "validation":
            return validation
        if "train" in wanted:
            return int(training)
        limit, left = options.get("train_images", "all"), int(training) - validation
        return min(left, limit) if isinstance(limit, int) else left

    def all(self, dataset: str) -> int:
        """Images of all splits."""
        return sum(self.split(dataset, split) for split in ("train", "validation", "test"))

    def _source(self, dataset: str) -> tuple[str, Mapping[str, Any]]:
        """Source and options of a data set, those of its base where it has one."""
        entry = self.study.catalogue["datasets"][dataset]
        if entry["source"] == TROJANED:
            entry = entry["options"]["base"]
        return str(entry["source"]), entry.get("options", {})

    def _original(self, dataset: str, source: str) -> int:
        """Original images that are not in the test split."""
        whole, official = SOURCES.facts(source).get("original_images", (0, 0))
        if not whole:
            raise InputError(
                f"nothing says how many training images {dataset} has; give them as images: "
                f"{{{dataset}: {{train: ..., validation: ..., test: ...}}}} in a file (--images)"
            )
        return int(whole) - int(official or available_images(self.study, dataset))


def metric_passes(
    entries: Iterable[Mapping[str, Any]], explainer_cost: float, limit: float
) -> tuple[float, float]:
    """Passes and imputations (images in which pixels are replaced) of metrics for one image.

    A backward pass counts as two; what metrics share counts once.

    Parameters
    ----------
    entries : of the catalogue: `method` and `parameters`.
    explainer_cost : forward passes of the explainer, for an image.
    limit : metrics that explain again leave out explainers that cost more.
    """
    passes = imputations = 0.0
    done: set[tuple[Any, ...]] = set()
    for entry in entries:
        method, facts = entry["method"], metric_facts(entry["method"])
        given = {**facts.get("parameters", {}), **(entry.get("parameters") or {})}
        shared = {key: str(value) for key, value in given.items() if key != "value"}
        # The published form of ROAD removes the same pixels.
        key = (method.removesuffix("_published"), *sorted(shared.items()))
        if facts.get("shares") == "perturbed_explanations":
            key = ("perturbed_explanations", str(given["samples"]), str(given["radius"]))
        anew = "explainer" in facts["needs"]
        if key in done or METRICS.is_foreign(method) or (anew and explainer_cost > limit):
            continue
        done.add(key)
        if facts.get("shares") == "road":
            imputations += len(given["percentages"])
        passes += _own_passes(method, given, explainer_cost)
    return passes, imputations


def _own_passes(method: str, given: Mapping[str, Any], cost: float) -> float:
    """Passes of a metric of our own; none for those that only look at the map."""
    samples = given.get("samples", 0)
    if "percentages" in given:
        return float(len(given["percentages"]))
    if "steps" in given:
        return float(given["steps"] + 1)
    if method == "irof":
        return float(given["segments"] + 1)
    if method == "random_logit":
        return float(given["others"] * cost)
    if method == "efficient_mprt":
        return float(given["draws"] * cost)
    if method == "smooth_mprt":
        return float(samples * (given["layers"] + 1) * cost)
    if method in ("max_sensitivity", "average_sensitivity", "local_lipschitz"):
        return float(samples * cost)
    return float(samples)


Work = dict[str, float]
#: a step of training is a forward pass and a backward pass that counts as two
TRAINING_PASSES = 3
#: rules that train; all of them run the same loop
TRAININGS = frozenset({"make_rewind_point", "make_epoch_point", "train_dense", "prune_level"})
#: rules that send batches through a network
NETWORKS = TRAININGS | {
    "explain_images",
    "score_explanations",
    "extract_features",
    "find_concepts",
    "explain_pruned_samples",
}
#: rules of which each method has its own costs
_BY_METHOD = ("find_concepts", "compare_concepts")
#: what the work of a job is counted in, and how the documentation calls it
UNITS = {
    "operations": "10¹² multiply-adds in passes through the network",
    "elements": "10⁹ numbers that its layers put out in these passes",
    "images": "1,000 images that are read or augmented (times epochs)",
    "map_pixels": "10⁹ pixels of maps (times metrics)",
    "imputed_pixels": "10⁹ pixels that are replaced in images",
    "rows": "10⁶ rows of scores",
}


class StudyWork:
    """The work of the jobs of a study with a validated configuration."""

    def __init__(self, study: Study, counts: ImageCounts) -> None:
        self.study, self.counts = study, counts
        self._sizes: dict[tuple[str, str], NetworkSize] = {}
        self._costs: dict[tuple[str, str], float] = {}
        self._found: dict[tuple[Any, ...], Work] = {}

    def size(self, dataset: str, model: str) -> NetworkSize:
        """Sizes of a network for a data set's images."""
        if (dataset, model) not in self._sizes:
            entry = self.study.catalogue["models"][model]
            source = self.study.catalogue["datasets"][dataset]["source"]
            classes = len(class_names(self.study, dataset)) or SOURCES.facts(source)["class_count"]
            shape = shape_of_images(self.study, dataset)
            self._sizes[dataset, model] = network_size(
                entry["architecture"], entry.get("options", {}), classes, shape
            )
        return self._sizes[dataset, model]

    def batch_elements(self, job: PlannedJob) -> float:
        """10⁹ numbers that layers put out for a batch of a job; 0 where no network runs."""
        dataset, model = job.wildcards.get("dataset", ""), job.wildcards.get("model", "")
        if not model or job.rule not in NETWORKS:
            return 0.0
        if job.rule in TRAININGS:
            recipe = self.study.catalogue["models"][model]["retraining"]
        elif "family" in job.wildcards:
            recipe = self.study.explaining(job.wildcards["family"])
        else:
            recipe = self.study.config["explaining"]
        return float(recipe["batch_size"] * self.size(dataset, model).elements / 1e9)

    def data_gigabytes(self, job: PlannedJob) -> float:
        """Images that a job of training keeps in memory, as uint8."""
        if job.rule not in TRAININGS:
            return 0.0
        pixels = math.prod(shape_of_images(self.study, job.wildcards["dataset"]))
        return self.counts.split(job.wildcards["dataset"], "train") * pixels / 1e9

    def of(self, job: PlannedJob) -> Work:
        """What a job has to do, by the names of `UNITS`; nothing where that is the same for all."""
        wild = job.wildcards
        names = ("dataset", "model", "pruner", "family", "concept", "sample_pruner", "epoch")
        key = (job.rule, *(wild.get(name, "") for name in names))
        if key not in self._found:
            count = _WORK.get(job.rule)
            self._found[key] = {} if count is None else count(self, wild)
        return self._found[key]

    def _passes(self, dataset: str, model: str, passes: float) -> Work:
        size = self.size(dataset, model)
        return {
            "operations": passes * size.multiply_adds / 1e12,
            "elements": passes * size.elements / 1e9,
        }

    def _trained(
        self, wild: Mapping[str, str], recipe: Mapping[str, Any], epochs: int, dataset: str = ""
    ) -> Work:
        """Epochs on the training split, each judged on the split by which the recipe selects."""
        dataset = dataset or wild["dataset"]
        images = epochs * self.counts.split(dataset, "train")
        split = SELECTIONS[recipe.get("select", "last")]
        judged = epochs * self.counts.split(dataset, split) if split else 0
        passes = self._passes(dataset, wild["model"], TRAINING_PASSES * images + judged)
        return {**passes, "images": images / 1e3}

    def start(self, wild: Mapping[str, str]) -> Work:
        """The rewind point: training before the rounds, on another data set too."""
        entry = self.study.catalogue["models"][wild["model"]]
        other = self.study.pretraining_dataset(wild["model"])
        own = entry["training"] or {"epochs": 0}
        found = self._trained(wild, own, own["epochs"])
        if not other:
            return found
        before = entry["pretraining"]
        return total(found, self._trained(wild, before, before["epochs"], other))

    def epoch_point(self, wild: Mapping[str, str]) -> Work:
        """The first epochs of retraining."""
        recipe = self.study.catalogue["models"][wild["model"]]["retraining"]
        # They are trained as they come: an epoch is chosen where the whole recipe is trained.
        return self._trained(wild, {**recipe, "select": "last"}, int(wild["epoch"]))

    def level(self, wild: Mapping[str, str]) -> Work:
        """Retraining, and passes for statistics of batch normalisation and for the evaluation."""
        entry = self.study.catalogue["models"][wild["model"]]
        pruner = wild.get("pruner", DENSE)
        facts = {} if pruner == DENSE else self.study.catalogue["pruners"][pruner]
        recipe = facts.get("retraining") or entry["retraining"]
        done = facts.get("rewind", "").partition("epoch:")[2]
        evaluated = self.counts.all(wild["dataset"])
        if again := facts.get("recalibrate_batch_norm"):
            evaluated += min(again["images"], self.counts.split(wild["dataset"], "train"))
        return total(
            self._trained(wild, recipe, recipe["epochs"] - int(done or 0)),
            self._passes(wild["dataset"], wild["model"], evaluated),
        )

    def _images(self, wild: Mapping[str, str]) -> float:
        """Images that a family explains, times conditions."""
        explaining = self.study.explaining(wild["family"])
        images = explaining["images"]
        count = self.counts.split(wild["dataset"], "test") if images == "all" else images
        return float(count * len(self.study.conditions(wild["dataset"])))

    def _explainers(self, wild: Mapping[str, str]) -> list[str]:
        network = self.study.network(wild["dataset"], wild["model"])
        return self.study.families(network)[wild["family"]]

    def cost(self, explainer: str, dataset: str) -> float:
        """Forward passes per image of an explainer, with its parameters, on a data set's images."""
        if (explainer, dataset) not in self._costs:
            entry = {explainer: self.study.catalogue["explainers"][explainer]}
            built = build_explainers(entry)[explainer]
            shape = shape_of_images(self.study, dataset)
            self._costs[explainer, dataset] = float(built.cost_on(shape))
        return self._costs[explainer, dataset]

    def _family_cost(self, wild: Mapping[str, str]) -> float:
        """Forward passes per image of all explainers of a family."""
        return sum(self.cost(name, wild["dataset"]) for name in self._explainers(wild))

    def explain(self, wild: Mapping[str, str]) -> Work:
        """Explaining: the passes of all explainers of the family."""
        images = self._images(wild)
        passes = images * self._family_cost(wild)
        return {**self._passes(wild["dataset"], wild["model"], passes), "images": images / 1e3}

    def score(self, wild: Mapping[str, str]) -> Work:
        """Scoring: pixels of maps for all metrics, passes and replaced pixels for some."""
        images, explainers = self._images(wild), self._explainers(wild)
        limit = self.study.config["explaining"]["re_explaining_cost"]
        chosen = self.study.network(wild["dataset"], wild["model"]).metrics
        metrics = [self.study.catalogue["metrics"][name] for name in chosen]
        channels, height, width = shape_of_images(self.study, wild["dataset"])
        passes = imputed = 0.0
        for name in explainers:
            needed = metric_passes(metrics, self.cost(name, wild["dataset"]), limit)
            passes += images * needed[0]
            imputed += images * needed[1] * channels * height * width
        maps = images * len(explainers) * len(metrics)
        return {
            **self._passes(wild["dataset"], wild["model"], passes),
            "images": images / 1e3,
            "map_pixels": maps * height * width / 1e9,
            "imputed_pixels": imputed / 1e9,
            "rows": maps / 1e6,
        }

    def compare(self, wild: Mapping[str, str]) -> Work:
        """Agreement: pixels of maps for all its metrics and all reference networks."""
        network = self.study.network(wild["dataset"], wild["model"])
        references = len(network.seeds) - 1 if wild["pruner"] == DENSE else 1
        images, explainers = self._images(wild), self._explainers(wild)
        sizes = [map_size(self.study, name, network) for name in explainers]
        pixels = sum(rows * columns for rows, columns in sizes)
        metrics = len(self.study.config["agreement"])
        compared = images * references * metrics
        return {"images": images / 1e3, "map_pixels": compared * pixels / 1e9}

    def features(self, wild: Mapping[str, str]) -> Work:
        """Features: one pass of all images, those of a bank too."""
        dataset = wild["dataset"]
        sets = {dataset, self.study.concept_bank(dataset)}
        images = sum(self.counts.all(name) for name in sets)
        return {**self._passes(dataset, wild["model"], images), "images": images / 1e3}

    def concepts(self, wild: Mapping[str, str]) -> Work:
        """Concepts: the images that are looked at; a method's own passes are its own matter."""
        images = self.study.config["concept_analysis"]["images"]
        count = self.counts.split(wild["dataset"], "test") if images == "all" else images
        return self._passes(wild["dataset"], wild["model"], count)

    def pruned_samples(self, wild: Mapping[str, str]) -> Work:
        """Pruned copies: the augmented copies of each image, and the passes of the explainers."""
        entry = self.study.catalogue["sample_pruners"][self.study.sample_pruner(wild["family"])]
        each = entry["augmentations"] + self._family_cost(wild)
        images = self._images(wild)
        passes = self._passes(wild["dataset"], wild["model"], images * each)
        return {**passes, "images": images / 1e3}

    def conversion(self, wild: Mapping[str, str]) -> Work:
        """Conversion: the timed passes of both networks of every level."""
        timed = self.study.config["conversion"]
        levels = self.study.level_count(wild["pruner"]) + 1
        passes = 2 * timed["batch_size"] * timed["repeats"] * levels
        return self._passes(wild["dataset"], wild["model"], passes)

    def prepare(self, wild: Mapping[str, str]) -> Work:
        """Packing: all images."""
        return {"images": self.counts.all(wild["dataset"]) / 1e3}

    def explained(self, network: Network, pruner: str) -> Iterator[str]:
        """The family of every level at which a pruner's networks are explained.

        The pruner `DENSE` stands for the dense level alone.
        """
        for family in self.study.families(network):
            levels = range(1, self.study.level_count(pruner) + 1) if pruner != DENSE else (0,)
            yield from (family for level in levels if self.study.explains(family, pruner, level))

    def rows(self, network: Network, pruner: str) -> float:
        """Score rows, in millions, of a seed's levels of a pruner, without the dense one."""
        wild = {"dataset": network.dataset, "model": network.model}
        families = self.explained(network, pruner)
        return sum(self.score({**wild, "family": family})["rows"] for family in families)

    @cached_property
    def _chain_rows(self) -> dict[tuple[str, str, str], float]:
        """Score rows, in millions, of each chain of a data set, a model and a pruner."""
        return {
            (network.dataset, network.model, pruner): self.rows(network, DENSE)
            + self.rows(network, pruner)
            for network in self.study.networks()
            for pruner in network.pruners
        }

    def chain(self, wild: Mapping[str, str]) -> Work:
        """Statistics of a chain: its score rows."""
        return {"rows": self._chain_rows[wild["dataset"], wild["model"], wild["pruner"]]}

    def tables(self, wild: Mapping[str, str]) -> Work:
        """Tables of the study: all score rows."""
        seeds = {(n.dataset, n.model): len(n.seeds) for n in self.study.networks()}
        rows = sum(seeds[key[:2]] * rows for key, rows in self._chain_rows.items())
        return {"rows": rows}


def cost_job(work: StudyWork, job: PlannedJob) -> CostJob:
    """A job as the cost model takes it."""
    memory = {"batch": work.batch_elements(job), "data": work.data_gigabytes(job)}
    kind = "training" if job.rule in TRAININGS else job.rule
    if job.rule in _BY_METHOD:
        name = job.key()[3]
        kind += f" {work.study.catalogue['concepts'][name]['method']}"
    return CostJob(kind, job.key(), work.of(job), {k: v for k, v in memory.items() if v})


def total(*parts: Mapping[str, float]) -> Work:
    """The sum of several works."""
    return {
        key: sum(part.get(key, 0.0) for part in parts)
        for key in dict.fromkeys(k for p in parts for k in p)
    }


_WORK: dict[str, Callable[[StudyWork, Mapping[str, str]], Work]] = {
    "prepare_dataset": StudyWork.prepare,
    "make_rewind_point": StudyWork.start,
    "make_epoch_point": StudyWork.epoch_point,
    "train_dense": StudyWork.level,
    "prune_level": StudyWork.level,
    "explain_images": StudyWork.explain,
    "score_explanations": StudyWork.score,
    "compare_explanations": StudyWork.compare,
    "extract_features": StudyWork.features,
    "find_concepts": StudyWork.concepts,
    "explain_pruned_samples": StudyWork.pruned_samples,
    "measure_conversion": StudyWork.conversion,
    "resample_images": StudyWork.chain,
    "summarise": StudyWork.tables,
    "summarise_curves": StudyWork.tables,
}


_FLOAT = 4
#: a weight and whether it is pruned, in a checkpoint; at a rewind point, as drawn and as trained
_CHECKPOINT_BYTES, _START_BYTES = 5, 8
#: of a row of scores in a parquet file, about: mostly the value, the rest repeats and shrinks
_ROW_BYTES = 7
#: subsets of images whose draws the statistics keep, about: strata have fewer levels
_SUBSETS = 4


def predicted_bytes(work: StudyWork) -> dict[str, int]:
    """Kind of file to bytes: packed data, checkpoints, explanations, features, scores, statistics.

    Figures, tables and what concept methods keep (crops, pictures) are not counted.
    """
    study = work.study
    found = {"packed data": _packed(study, work.counts), "explanations": stored_bytes(study)}
    found |= dict.fromkeys(("checkpoints", "features", "scores", "statistics"), 0)
    draws = study.config["statistics"]["replicates"] * 8 * _SUBSETS
    for network in study.networks():
        size, seeds = work.size(network.dataset, network.model), len(network.seeds)
        families = study.families(network)
        levels = {pruner: study.level_count(pruner) for pruner in network.pruners}
        each = (sum(levels.values()) + 1) * _CHECKPOINT_BYTES + _START_BYTES
        found["checkpoints"] += seeds * size.parameters * each
        if network.concepts:
            places = [(p, level + 1) for p, count in levels.items() for level in range(count)]
            looked_at = sum(study.finds_concepts(*place) for place in [(DENSE, 0), *places])
            images = work.counts.all(network.dataset)
            found["features"] += seeds * images * size.features * _FLOAT * looked_at
        dense = list(work.explained(network, DENSE))
        rows = work.rows(network, DENSE) + sum(work.rows(network, one) for one in network.pruners)
        # once at the checkpoint and once in the study's table
        found["scores"] += 2 * seeds * int(rows * 1e6) * _ROW_BYTES
        # each chain begins with the dense level
        curves = [one for p in network.pruners for one in (*dense, *work.explained(network, p))]
        count = sum(len(families[family]) for family in curves) * len(network.metrics)
        found["statistics"] += seeds * count * draws
    return found


def _packed(study: Study, counts: ImageCounts) -> int:
    whole = 0
    for dataset in study.prepared_datasets():
        channels, height, width = shape_of_images(study, dataset)
        entry = study.catalogue["datasets"][dataset]
        facts = SOURCES.facts(entry["source"])
        parts = len(facts.get("part_names", ()))
        if "part_names" in facts.get("varying", ()):
            source = SOURCES.load(entry["source"])
            parts = len(source.parts_of(entry.get("options", {})))
        noise = channels if entry["noise"]["maximum"] else 0
        planes = channels + noise + has_masks(study, dataset) + parts
        whole += counts.all(dataset) * planes * height * width
    return whole
