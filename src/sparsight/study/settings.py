"""For each rule: the configuration values that its jobs use, and the modules behind their names.

A job runs again when these values change, or the versions of these items; what makes a file of
entries computes only those whose own values or versions changed. So a value that a job does
not use must not be here, and one that it uses must be.
"""

from typing import Any, NamedTuple

from sparsight.explain.registry import EXPLAINERS
from sparsight.io.entries import BETWEEN
from sparsight.metrics.registry import AGREEMENT, METRICS
from sparsight.models.registry import MODELS
from sparsight.pruning.registry import CRITERIA
from sparsight.registration import Item
from sparsight.study.bases import source_items, without_mirrors
from sparsight.study.plan import DENSE, Place, Study, metric_facts

Settings = dict[str, Any]


class Entries(NamedTuple):
    """The entries of a job's file (`sparsight.io.entries`).

    Attributes
    ----------
    groups : settings that the job needs for them, such as `explainers`.
    settings : name of each entry to what it depends on.
    items : name of each entry to the registered items that compute it.
    """

    groups: Settings
    settings: Settings
    items: dict[str, list[Item]]


class RuleSettings:
    """The `settings` and the registered `items` of every rule."""

    def __init__(self, study: Study) -> None:
        self.study = study

    def _entry(self, group: str, name: str) -> Settings:
        return dict(self.study.catalogue[group][name])

    def fetching(self, dataset: str) -> Settings:
        """Finding or downloading the original files."""
        entry = self._entry("datasets", dataset)
        folder = self.study.config["data_folder"]
        return {**entry["options"], "source": entry["source"], "data_folder": folder}

    def packing(self, dataset: str) -> Settings:
        """Packing them."""
        entry = self._entry("datasets", dataset)
        return {**without_mirrors(entry.pop("options")), **entry}

    def dataset_items(self, dataset: str) -> list[Item]:
        """The data source, and the one whose images it takes."""
        return source_items(self._entry("datasets", dataset))

    def _network(self, dataset: str, model: str) -> Settings:
        # Only jobs that write the study's name into a result may know it: packed data are shared.
        return {
            "study": self.study.name,
            "architecture": self._entry("models", model)["architecture"],
            "options": self._entry("models", model)["options"],
            "noise_maximum": self._entry("datasets", dataset)["noise"]["maximum"],
            "threads": self.study.config["torch_threads"],
        }

    def weights(self) -> Settings:
        """Finding or downloading a file of weights."""
        return {"data_folder": self.study.config["data_folder"]}

    def start(self, dataset: str, model: str) -> Settings:
        """Rewind point."""
        entry = self._entry("models", model)
        found = {**self._network(dataset, model), "training": entry["training"]}
        # Only where they are used: other studies' settings shall stay as they were.
        if self.study.initial_weights(model) != "random":
            found["initial_weights"] = self.study.initial_weights(model)
        if other := self.study.pretraining_dataset(model):
            found["pretraining"] = {
                "dataset": other,
                "recipe": entry["pretraining"],
                "noise_maximum": self._entry("datasets", other)["noise"]["maximum"],
            }
        return found

    def epoch_point(self, dataset: str, model: str) -> Settings:
        """Rewind point of `epoch:k`."""
        return {
            **self._network(dataset, model),
            "retraining": self._entry("models", model)["retraining"],
        }

    def dense(self, dataset: str, model: str) -> Settings:
        """Dense network."""
        entry = self._entry("models", model)
        return {
            **self.epoch_point(dataset, model),
            "evaluation_batch_size": entry["evaluation_batch_size"],
        }

    def level(self, dataset: str, model: str, pruner: str, level: int) -> Settings:
        """One round; it does not know how many there are, so that adding one runs only that."""
        entry = self._entry("pruners", pruner)
        found = {
            **self.dense(dataset, model),
            **{key: entry[key] for key in ("criterion", "scope", "rewind", "published_bugs")},
            "rate": entry.get("rate"),
            "density": entry["densities"][level - 1] if "densities" in entry else None,
        }
        if entry["retraining"] is not None:
            found["retraining"] = entry["retraining"]
        # Only where it is used: other studies' settings shall stay as they were.
        if "recalibrate_batch_norm" in entry:
            found["recalibrate_batch_norm"] = entry["recalibrate_batch_norm"]
        return found

    def network_items(self, model: str, pruner: str = DENSE) -> list[Item]:
        """The architecture and the criterion."""
        found = [MODELS.item(self._entry("models", model)["architecture"])]
        if pruner != DENSE:
            found.append(CRITERIA.item(self._entry("pruners", pruner)["criterion"]))
        return found

    def _explainers(self, family: str, dataset: str, model: str | None) -> Settings:
        network = None if model is None else self.study.network(dataset, model)
        names = self.study.families(network)[family]
        return {name: self._entry("explainers", name) for name in names}

    def explain(self, family: str, dataset: str, model: str | None = None) -> Settings:
        """Explaining a checkpoint with one family; without a model, the controls of a data set."""
        explaining = self.study.explaining(family)
        found = {key: explaining[key] for key in ("batch_size", "images", "target")}
        found["conditions"] = self.study.conditions(dataset)
        return {**found, "threads": self.study.config["torch_threads"]}

    def explain_entries(self, family: str, dataset: str, model: str | None = None) -> Entries:
        """The explainers of a file of explanations."""
        explainers = self._explainers(family, dataset, model)
        items = {name: [EXPLAINERS.item(entry["method"])] for name, entry in explainers.items()}
        return Entries({"explainers": explainers}, explainers, items)

    def explain_items(self, family: str, dataset: str, model: str | None = None) -> list[Item]:
        """The explainers and the architecture, where there is a network."""
        methods = {entry["method"] for entry in self._explainers(family, dataset, model).values()}
        found = [EXPLAINERS.item(method) for method in sorted(methods)]
        return found if model is None else [*found, *self.network_items(model)]

    def _metrics(self, family: str, dataset: str, model: str) -> Settings:
        """The metrics that score a family of a network."""
        names = self.study.network(dataset, model).metrics
        metrics = {name: self._entry("metrics", name) for name in names}
        if not self.study.sample_pruner(family):
            return metrics
        # They would explain anew with the network itself, and not with an image's copy of it.
        needs = {n: metric_facts(m["method"])["needs"] for n, m in metrics.items()}
        return {n: m for n, m in metrics.items() if "explainer" not in needs[n]}

    def score(self, family: str, dataset: str, model: str) -> Settings:
        """Scoring one family of one checkpoint."""
        # Which images were explained is in the file of explanations.
        explained = self.explain(family, dataset, model)
        found = {key: value for key, value in explained.items() if key != "images"}
        return {**found, "study": self.study.name}

    def score_entries(self, family: str, dataset: str, model: str) -> Entries:
        """Each explainer of a family with each metric."""
        explainers = self._explainers(family, dataset, model)
        # The reducer belongs to the tables.
        metrics = {
            name: {key: value for key, value in entry.items() if key != "reducer"}
            for name, entry in self._metrics(family, dataset, model).items()
        }
        limit = self.study.config["explaining"]["re_explaining_cost"]
        settings: dict[str, Any] = {}
        items: dict[str, list[Item]] = {}
        groups = {"explainers": explainers, "metrics": metrics}
        for name, metric in metrics.items():
            again = "explainer" in metric_facts(metric["method"])["needs"]
            for explainer, entry in explainers.items():
                pair = f"{explainer}{BETWEEN}{name}"
                settings[pair], items[pair] = metric, [METRICS.item(metric["method"])]
                if again:
                    settings[pair] = {**metric, "explainer": entry, "re_explaining_cost": limit}
                    items[pair] = [*items[pair], EXPLAINERS.item(entry["method"])]
                    groups["re_explaining_cost"] = limit
        return Entries(groups, settings, items)

    def score_items(self, family: str, dataset: str, model: str) -> list[Item]:
        """The metrics, the architecture, and the explainers if a metric calls them."""
        methods = {entry["method"] for entry in self._metrics(family, dataset, model).values()}
        found = [METRICS.item(method) for method in sorted(methods)]
        called = self._called_explainers(family, dataset, model, methods)
        return [*found, *self.network_items(model), *called]

    def _called_explainers(
        self, family: str, dataset: str, model: str, methods: set[str]
    ) -> list[Item]:
        called = any("explainer" in metric_facts(method)["needs"] for method in methods)
        return self.explain_items(family, dataset, model) if called else []

    def compare(
        self, dataset: str, model: str, seed: str, pruner: str, level: int, family: str
    ) -> Settings:
        """Comparing a checkpoint's maps of one family with those of its references."""
        references = self.study.references(Place(dataset, model, int(seed), pruner, level))
        explained = self.explain(family, dataset, model)
        return {
            **{key: value for key, value in explained.items() if key != "images"},
            "study": self.study.name,
            "references": [
                {"pruner": r.pruner, "seed": r.seed, "level": r.level} for r in references
            ],
        }

    def compare_entries(self, family: str, dataset: str, model: str) -> Entries:
        """Each explainer of a family with each metric of agreement."""
        explainers = self._explainers(family, dataset, model)
        agreement = {n: self._entry("agreement", n) for n in self.study.config["agreement"]}
        pairs = {
            f"{explainer}{BETWEEN}{name}": entry
            for name, entry in agreement.items()
            for explainer in explainers
        }
        items = {pair: [AGREEMENT.item(entry["method"])] for pair, entry in pairs.items()}
        return Entries({"explainers": explainers, "agreement": agreement}, pairs, items)

    def compare_items(self) -> list[Item]:
        """The metrics of agreement."""
        methods = {self._entry("agreement", m)["method"] for m in self.study.config["agreement"]}
        return [AGREEMENT.item(method) for method in sorted(methods)]

    def conversion(self) -> Settings:
        """Removing the dead units of a chain's networks, and timing them."""
        threads = self.study.config["torch_threads"]
        return {**self.study.config["conversion"], "study": self.study.name, "threads": threads}

    def conversion_items(self, model: str) -> list[Item]:
        """The architecture."""
        return self.network_items(model)
