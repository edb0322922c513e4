"""How much work each job of a study is, and how many bytes the study writes.

Work is counted in passes through networks, pixels of maps and rows of tables, as the configuration
alone gives them.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

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
    class_count,
    has_masks,
    map_size,
    metric_facts,
    shape_of_images,
    stored_bytes,
    trace_request,
)
from sparsight.study.traced import facts_of
from sparsight.training.options import SELECTIONS

Work = dict[str, float]
Wildcards = Mapping[str, str]
#: a step of training is a forward pass and a backward pass that counts as two
TRAINING_PASSES = 3
#: rules that train, all of them in the same loop, or that only evaluate as they do (take_level)
TRAININGS = frozenset(
    {"make_rewind_point", "make_epoch_point", "train_dense", "prune_level", "take_level"}
)
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
#: wildcards that say what a job works on, as the column `family` of `costs.csv` does
_SUBJECTS = ("family", "concept", "sample_pruner", "metric")


@dataclass(frozen=True)
class CostJob:
    """A job as the cost model takes it.

    Attributes
    ----------
    kind : jobs of a kind share coefficients.
    key : rule, data set, model, and what it works on: jobs that cost alike, up to their work.
    work : how much of each unit (docs/costs.md); what is left out is 0. `operations`: 10¹²
        multiply-adds, `elements`: 10⁹ numbers that layers put out, `images`: 1,000 images (times
        epochs), `map_pixels` (times metrics), `imputed_pixels`: 10⁹ pixels, `rows`: 10⁶ scores.
    memory : what its memory follows, in GB: name to size.
    """

    kind: str
    key: str
    work: Mapping[str, float]
    memory: Mapping[str, float]


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
    match method:
        case _ if "percentages" in given:
            passes = len(given["percentages"])
        case _ if "steps" in given:
            passes = given["steps"] + 1
        case "irof":
            passes = given["segments"] + 1
        case "random_logit":
            passes = given["others"] * cost
        case "efficient_mprt":
            passes = given["draws"] * cost
        case "smooth_mprt":
            passes = given["samples"] * (given["layers"] + 1) * cost
        case "max_sensitivity" | "average_sensitivity" | "local_lipschitz":
            passes = given["samples"] * cost
        case _:
            passes = given.get("samples", 0)
    return float(passes)


class StudyWork:
    """The work of the jobs of a study.

    `given` says data set to split (train, validation, test) to images, where files hold a part.
    """

    def __init__(self, study: Study, given: Mapping[str, Mapping[str, int]] | None = None) -> None:
        self.study, self.given = study, given or {}
        self.size: Callable[[str, str], NetworkSize] = cache(self._size)
        self.cost: Callable[[str, str], float] = cache(self._cost)

    def images(self, dataset: str, split: str) -> int:
        """Images of a split: train, validation or test; exact but for shares of drawn splits.

        An InputError where nobody says how many training images there are.
        """
        if dataset in self.given:
            return int(self.given[dataset].get(split, 0))
        if split == "test":
            return available_images(self.study, dataset)
        entry = self.study.catalogue["datasets"][dataset]
        if entry["source"] == TROJANED:
            entry = entry["options"]["base"]
        options = entry.get("options", {})
        if SOURCES.facts(entry["source"]).get("path_parameters"):
            return int(SOURCES.load(entry["source"]).images_of(options).get(split, 0))
        wanted = options.get("split", {})
        wanted = wanted if isinstance(wanted, Mapping) else {}
        whole, official = SOURCES.facts(entry["source"]).get("original_images", (0, 0))
        if not (wanted.get("train") or whole):
            raise InputError(
                f"nothing says how many training images {dataset} has; state `original_images` in "
                f"the source {entry['source']}"
            )
        rest = whole - (official or available_images(self.study, dataset))
        training = int(wanted.get("train") or rest)
        share = wanted.get("validation", 0)
        if isinstance(options.get("validation"), Mapping):
            share = options["validation"].get("share", 0)
        validation = round(share * training) if 0 < share < 1 else int(share)
        if split == "validation":
            return validation
        if "train" in wanted:
            return training
        limit = options.get("train_images", "all")
        return min(training - validation, limit if isinstance(limit, int) else training)

    def all_images(self, dataset: str) -> int:
        """Images of all splits."""
        return sum(self.images(dataset, split) for split in ("train", "validation", "test"))

    def _test_images(self, dataset: str, wanted: int | str) -> int:
        """Images of the test split of which `wanted` (a number or `all`) are used."""
        return self.images(dataset, "test") if wanted == "all" else int(wanted)

    def _size(self, dataset: str, model: str) -> NetworkSize:
        """Sizes of a network for a data set's images."""
        entry = self.study.catalogue["models"][model]
        if request := trace_request(self.study, dataset, model):
            return NetworkSize(**facts_of(request)["size"])
        classes, shape = class_count(self.study, dataset), shape_of_images(self.study, dataset)
        return network_size(entry["architecture"], entry.get("options", {}), classes, shape)

    def _cost(self, explainer: str, dataset: str) -> float:
        """Forward passes per image of an explainer, with its parameters, on a data set's images."""
        entry = {explainer: self.study.catalogue["explainers"][explainer]}
        shape = shape_of_images(self.study, dataset)
        return float(build_explainers(entry)[explainer].cost_on(shape))

    def job(self, rule: str, wildcards: Wildcards) -> CostJob:
        """A job as the cost model takes it."""
        subject = next((wildcards[name] for name in _SUBJECTS if name in wildcards), "")
        key = (rule, wildcards.get("dataset", ""), wildcards.get("model", ""), subject)
        kind = "training" if rule in TRAININGS else rule
        if rule in _BY_METHOD:
            kind += f" {self.study.catalogue['concepts'][subject]['method']}"
        count = _WORK.get(rule)
        work = count(self, wildcards) if count else {}
        return CostJob(kind, "/".join(key), work, self._memory(rule, wildcards))

    def _memory(self, rule: str, wild: Wildcards) -> Work:
        """Numbers that layers put out for a batch (10⁹), and images kept in memory (GB, uint8)."""
        if rule not in NETWORKS:
            return {}
        dataset, model = wild["dataset"], wild["model"]
        elements = self.size(dataset, model).elements / 1e9
        if rule not in TRAININGS:
            recipe = self.study.explaining(wild.get("family", ""))
            return {"batch": recipe["batch_size"] * elements}
        entry = self.study.catalogue["models"][model]
        # A recipe of 0 epochs need not say how large its batches are.
        batch = entry["retraining"].get("batch_size", entry.get("evaluation_batch_size", 0))
        pixels = math.prod(shape_of_images(self.study, dataset))
        data = self.images(dataset, "train") * pixels / 1e9
        return {"batch": batch * elements, "data": data}

    def _passes(self, wild: Wildcards, passes: float, dataset: str = "") -> Work:
        size = self.size(dataset or wild["dataset"], wild["model"])
        return {
            "operations": passes * size.multiply_adds / 1e12,
            "elements": passes * size.elements / 1e9,
        }

    def _training(
        self, wild: Wildcards, recipe: Mapping[str, Any], epochs: int, dataset: str = ""
    ) -> Work:
        """Epochs on the training split, each judged on the split by which the recipe selects."""
        dataset = dataset or wild["dataset"]
        images = epochs * self.images(dataset, "train")
        split = SELECTIONS[recipe.get("select", "last")]
        judged = epochs * self.images(dataset, split) if split else 0
        passes = self._passes(wild, TRAINING_PASSES * images + judged, dataset)
        return {**passes, "images": images / 1e3}

    def start(self, wild: Wildcards) -> Work:
        """The rewind point: training before the rounds, on another data set too."""
        entry = self.study.catalogue["models"][wild["model"]]
        other = self.study.pretraining_dataset(wild["model"])
        own = entry["training"] or {"epochs": 0}
        found = self._training(wild, own, own["epochs"])
        if not other:
            return found
        before = entry["pretraining"]
        return _total(found, self._training(wild, before, before["epochs"], other))

    def epoch_point(self, wild: Wildcards) -> Work:
        """The first epochs of retraining."""
        recipe = self.study.catalogue["models"][wild["model"]]["retraining"]
        # They are trained as they come: an epoch is chosen where the whole recipe is trained.
        return self._training(wild, {**recipe, "select": "last"}, int(wild["epoch"]))

    def level(self, wild: Wildcards) -> Work:
        """Retraining, and passes for statistics of batch normalisation and for the evaluation."""
        entry = self.study.catalogue["models"][wild["model"]]
        pruner = wild.get("pruner", DENSE)
        facts = {} if pruner == DENSE else self.study.catalogue["pruners"][pruner]
        recipe = facts.get("retraining") or entry["retraining"]
        done = facts.get("rewind", "").partition("epoch:")[2]
        evaluated = self.all_images(wild["dataset"])
        if again := facts.get("recalibrate_batch_norm"):
            evaluated += min(again["images"], self.images(wild["dataset"], "train"))
        epochs = recipe["epochs"] - int(done or 0)
        if "teacher" in facts:
            evaluated += epochs * self.images(wild["dataset"], "train")
        return _total(
            self._training(wild, recipe, epochs),
            self._passes(wild, evaluated),
        )

    def _explained_images(self, wild: Wildcards) -> int:
        """Images that a family explains, times conditions."""
        count = self._test_images(wild["dataset"], self.study.explaining(wild["family"])["images"])
        return count * len(self.study.conditions(wild["dataset"]))

    def _explainers(self, wild: Wildcards) -> list[str]:
        network = self.study.network(wild["dataset"], wild["model"])
        return self.study.families(network)[wild["family"]]

    def _family_cost(self, wild: Wildcards) -> float:
        """Forward passes per image of all explainers of a family."""
        return sum(self.cost(name, wild["dataset"]) for name in self._explainers(wild))

    def explain(self, wild: Wildcards) -> Work:
        """Explaining: the passes of all explainers of the family."""
        images = self._explained_images(wild)
        return {**self._passes(wild, images * self._family_cost(wild)), "images": images / 1e3}

    def score(self, wild: Wildcards) -> Work:
        """Scoring: pixels of maps for all metrics, passes and replaced pixels for some."""
        images, explainers = self._explained_images(wild), self._explainers(wild)
        limit = self.study.config["explaining"]["re_explaining_cost"]
        chosen = self.study.network(wild["dataset"], wild["model"]).metrics
        metrics = [self.study.catalogue["metrics"][name] for name in chosen]
        channels, height, width = shape_of_images(self.study, wild["dataset"])
        needed = [
            metric_passes(metrics, self.cost(name, wild["dataset"]), limit) for name in explainers
        ]
        imputed = images * sum(imputations for _, imputations in needed)
        maps = images * len(explainers) * len(metrics)
        return {
            **self._passes(wild, images * sum(passes for passes, _ in needed)),
            "images": images / 1e3,
            "map_pixels": maps * height * width / 1e9,
            "imputed_pixels": imputed * channels * height * width / 1e9,
            "rows": maps / 1e6,
        }

    def compare(self, wild: Wildcards) -> Work:
        """Agreement: pixels of maps for all its metrics and all reference networks."""
        network = self.study.network(wild["dataset"], wild["model"])
        references = len(network.seeds) - 1 if wild["pruner"] == DENSE else 1
        sizes = [map_size(self.study, name, network) for name in self._explainers(wild)]
        pixels = sum(rows * columns for rows, columns in sizes)
        images = self._explained_images(wild)
        compared = images * references * len(self.study.config["agreement"])
        return {"images": images / 1e3, "map_pixels": compared * pixels / 1e9}

    def features(self, wild: Wildcards) -> Work:
        """Features: one pass of all images, those of a bank too."""
        sets = {wild["dataset"], self.study.concept_bank(wild["dataset"])}
        images = sum(self.all_images(name) for name in sets)
        return {**self._passes(wild, images), "images": images / 1e3}

    def concepts(self, wild: Wildcards) -> Work:
        """Concepts: the images that are looked at; a method's own passes are its own matter."""
        wanted = self.study.config["concept_analysis"]["images"]
        return self._passes(wild, self._test_images(wild["dataset"], wanted))

    def pruned_samples(self, wild: Wildcards) -> Work:
        """Pruned copies: the augmented copies of each image, and the passes of the explainers."""
        entry = self.study.catalogue["sample_pruners"][self.study.sample_pruner(wild["family"])]
        images = self._explained_images(wild)
        passes = images * (entry["augmentations"] + self._family_cost(wild))
        return {**self._passes(wild, passes), "images": images / 1e3}

    def explained(self, network: Network, pruner: str) -> dict[str, int]:
        """Family to the number of levels at which a pruner's networks are explained.

        The pruner `DENSE` stands for the dense level alone.
        """
        levels = range(1, self.study.level_count(pruner) + 1) if pruner != DENSE else (0,)
        return {
            family: sum(self.study.explains(family, pruner, level) for level in levels)
            for family in self.study.families(network)
        }

    def rows(self, network: Network, pruner: str) -> float:
        """Score rows, in millions, of a seed's levels of a pruner, without the dense one."""
        wild = {"dataset": network.dataset, "model": network.model}
        return sum(
            levels * self.score({**wild, "family": family})["rows"]
            for family, levels in self.explained(network, pruner).items()
        )

    def chain(self, wild: Wildcards) -> Work:
        """Statistics of a chain: its score rows."""
        network = self.study.network(wild["dataset"], wild["model"])
        return {"rows": sum(self.rows(network, part) for part in (DENSE, wild["pruner"]))}


def _total(first: Work, second: Work) -> Work:
    """The sum of two works."""
    return {key: first.get(key, 0.0) + second.get(key, 0.0) for key in {**first, **second}}


_WORK: dict[str, Callable[[StudyWork, Wildcards], Work]] = {
    "make_rewind_point": StudyWork.start,
    "make_epoch_point": StudyWork.epoch_point,
    "train_dense": StudyWork.level,
    "prune_level": StudyWork.level,
    "take_level": StudyWork.level,
    "explain_images": StudyWork.explain,
    "score_explanations": StudyWork.score,
    "compare_explanations": StudyWork.compare,
    "extract_features": StudyWork.features,
    "find_concepts": StudyWork.concepts,
    "explain_pruned_samples": StudyWork.pruned_samples,
    "resample_images": StudyWork.chain,
}

_FLOAT_BYTES = 4
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
    found = {
        "packed data": sum(_packed_bytes(work, name) for name in study.prepared_datasets()),
        "explanations": stored_bytes(study),
        **dict.fromkeys(("checkpoints", "features", "scores", "statistics"), 0),
    }
    draws = study.config["statistics"]["replicates"] * 8 * _SUBSETS
    for network in study.networks():
        size, seeds = work.size(network.dataset, network.model), len(network.seeds)
        families = study.families(network)
        levels = [
            (p, level) for p in network.pruners for level in range(1, study.level_count(p) + 1)
        ]
        each = (len(levels) + 1) * _CHECKPOINT_BYTES + _START_BYTES
        found["checkpoints"] += seeds * size.parameters * each
        if network.concepts:
            looked_at = sum(study.finds_concepts(*place) for place in [(DENSE, 0), *levels])
            images = work.all_images(network.dataset)
            found["features"] += seeds * images * size.features * _FLOAT_BYTES * looked_at
        rows = sum(work.rows(network, pruner) for pruner in (DENSE, *network.pruners))
        # once at the checkpoint and once in the study's table
        found["scores"] += 2 * seeds * round(rows * 1e6) * _ROW_BYTES
        # each chain begins with the dense level
        curves = sum(
            levels * len(families[family])
            for pruner in network.pruners
            for part in (DENSE, pruner)
            for family, levels in work.explained(network, part).items()
        )
        found["statistics"] += seeds * curves * len(network.metrics) * draws
    return found


def _packed_bytes(work: StudyWork, dataset: str) -> int:
    channels, height, width = shape_of_images(work.study, dataset)
    entry = work.study.catalogue["datasets"][dataset]
    parts = len(SOURCES.load(entry["source"]).parts_of(entry.get("options", {})))
    noise = channels if entry["noise"]["maximum"] else 0
    planes = channels + noise + has_masks(work.study, dataset) + parts
    return work.all_images(dataset) * planes * height * width
