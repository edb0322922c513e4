"""For each rule: the configuration values that its jobs use, and the modules behind their names.

A job runs again when these values change, or the versions of these items; what makes a file of
entries computes only those whose own values or versions changed. So a value that a job does
not use must not be here, and one that it uses must be.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

from sparsight.analysis.claims.registry import CLAIMS
from sparsight.concepts.registry import CONCEPTS
from sparsight.explain.registry import EXPLAINERS
from sparsight.io.entries import BETWEEN
from sparsight.metrics.registry import AGREEMENT, METRICS
from sparsight.models.registry import MODELS
from sparsight.pruning.registry import CRITERIA
from sparsight.registration import Item
from sparsight.spade.registry import SOLVERS
from sparsight.study.configuration import source_items, without_mirrors
from sparsight.study.plan import (
    CHOICES,
    DENSE,
    ConceptPlan,
    Network,
    Place,
    Study,
    derived_name,
    explainers_for_copies,
    metric_facts,
    searches,
    sparsities_from,
    unpruned_family,
    visualisation,
    visualised_networks,
    visualised_stickers,
)

Settings = dict[str, Any]

_PLACE = "benchmarks/{rule}/{dataset}__{model}__seed{seed}__"
#: the `benchmark:` paths of all rules, the first that fits counts; what a job has beside these
#: wildcards (a concept method, a sample pruner, a metric, an epoch) stands in the column `family`
PATTERNS = (
    f"{_PLACE}{{pruner}}__level{{level}}__{{family}}.jsonl",
    f"{_PLACE}{{pruner}}__level{{level}}.jsonl",
    f"{_PLACE}start.jsonl",
    f"{_PLACE}epoch{{family,[0-9]+}}.jsonl",
    f"{_PLACE}{{pruner}}.jsonl",
    "benchmarks/{rule,make_controls}/{dataset}__{family}.jsonl",
    "benchmarks/{rule}/{dataset}__{model}__{family}.jsonl",
    "benchmarks/{rule}/{dataset}__{model}.jsonl",
    "benchmarks/{rule}__{dataset}.jsonl",
    "benchmarks/{rule}.jsonl",
)


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


class _OfStudy:
    def __init__(self, study: Study) -> None:
        self.study = study

    def _entry(self, group: str, name: str) -> Settings:
        return dict(self.study.catalogue[group][name])


class RuleSettings(_OfStudy):
    """The `settings` and the registered `items` of the rules of networks and their explanations."""

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
        # They would explain again with the network itself, and not with an image's copy of it.
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


class TableSettings(_OfStudy):
    """The `settings` of every rule that makes a table or a figure."""

    def metric_facts(self) -> dict[str, Settings]:
        """Metric to its direction and unit, for figures."""
        found = {}
        for name in self.study.config["metrics"]:
            facts = metric_facts(self._entry("metrics", name)["method"])
            found[name] = {key: facts[key] for key in ("direction", "unit")}
        return found

    def _statistics(self) -> Settings:
        return {"statistics": dict(self.study.config["statistics"])}

    def _reducers(self) -> dict[str, str]:
        """Metrics whose steps become one number, and how."""
        found = {}
        for name in self.study.config["metrics"]:
            entry = self._entry("metrics", name)
            reducer = entry.get("reducer") or metric_facts(entry["method"]).get("reducer")
            if reducer:
                found[name] = str(reducer)
        return found

    def step_metrics(self) -> list[str]:
        """The metrics that score several steps, in the order of the configuration."""
        return list(self._reducers())

    def step_facts(self, metric: str) -> Settings:
        """Facts of a metric of `step_metrics`, for figures of its steps."""
        facts = metric_facts(self._entry("metrics", metric)["method"])
        found = {key: facts.get(key, "") for key in ("direction", "unit", "step_axis")}
        return {**found, "reducer": self._reducers()[metric]}

    def summary(self) -> Settings:
        """Gathering evaluations and scores."""
        return {"split": "test", "reducers": self._reducers(), "entries": self.entries()}

    def entries(self, networks: Iterable[Network] | None = None) -> Settings:
        """What the study names of the files of scores, which may hold more, by network."""
        return {
            f"{network.dataset}/{network.model}": {
                "explainers": sorted(network.explainers),
                "metrics": sorted(network.metrics),
            }
            for network in networks or self.study.networks()
        }

    def resampling(self, dataset: str, model: str, seed: str, pruner: str) -> Settings:
        """Resampling the images of one chain."""
        levels = list(range(self.study.level_count(pruner) + 1))
        found = {**self._statistics(), "levels": levels, "study": self.study.name}
        entries = self.entries([self.study.network(dataset, model)])
        return {**found, "reducers": self._reducers(), "entries": entries}

    def contrasts(self) -> Settings:
        """Comparing levels with the dense networks; correlations, strata and predictions too."""
        return {**self._statistics(), "controls": self.study.controls()}

    def agreement(self) -> Settings:
        """Summarising agreement with its floors."""
        chosen = sorted(self.study.config["agreement"])
        entries = {name: {**each, "metrics": chosen} for name, each in self.entries().items()}
        retrain = self.study.retraining_pruners()
        return {**self.contrasts(), "retrain": retrain, "entries": entries}

    def step_curves(self) -> Settings:
        """Summarising metrics step by step."""
        return {
            "metrics": sorted(self.step_metrics()),
            "entries": self.entries(),
            "controls": self.study.controls(),
            "confidence": self.study.config["statistics"]["confidence"],
        }

    def claims(self) -> Settings:
        """Deciding the claims of the study."""
        config = self.study.config
        first = self.study.networks()[0]
        defaults = {
            "dataset": first.dataset,
            "model": first.model,
        }
        claims = [{**defaults, **claim} for claim in config["claims"]]
        # The first that the claim's own data set has.
        claims = [
            {"condition": self.study.conditions(claim["dataset"])[0], **claim} for claim in claims
        ]
        return {**self._statistics(), "claims": claims, "study": self.study.name}

    def claim_items(self) -> list[Item]:
        """The tests of claims."""
        tests = {claim["test"] for claim in self.study.config["claims"]}
        return [CLAIMS.item(test) for test in sorted(tests)]

    def guide(self) -> Settings:
        """Writing the guide to the report: what was studied, by name."""
        config = self.study.config
        networks = [
            f"{network.model} on {network.dataset} (seeds {', '.join(map(str, network.seeds))})"
            for network in self.study.networks()
        ]
        studied = {
            "Networks": networks,
            "Pruners": list(config["pruners"]),
            "Explainers": list(config["explainers"]),
            "Metrics": list(config["metrics"]),
            "Concepts": list(config["concepts"]),
        }
        confidence = config["statistics"]["confidence"]
        return {"study": self.study.name, "confidence": confidence, "studied": studied}

    def costs(self) -> Settings:
        """Gathering benchmarks: how their paths name rule and wildcards."""
        return {"patterns": list(PATTERNS), "study": self.study.name}

    def whole(self) -> Settings:
        """The choices of the study and the catalogue's entries that it uses."""
        config = self.study.config
        chosen = {group: config[group] for group in CHOICES}
        used = {g: {n: self._entry(g, n) for n in names} for g, names in chosen.items()}
        rest = {key: value for key, value in config.items() if key != "catalogue"}
        return {**rest, "catalogue": used}


class FigureSettings(_OfStudy):
    """The `settings` of every rule that draws."""

    def __init__(self, study: Study) -> None:
        super().__init__(study)
        self._tables = TableSettings(study)

    def headline_metrics(self, network: Network) -> list[str]:
        """The metrics whose contrasts, strata and predictions are drawn."""
        chosen = self.study.config["figures"]["headline_metrics"] or network.metrics[:1]
        return [metric for metric in chosen if metric in network.metrics]

    def step_metrics(self, network: Network) -> list[str]:
        """The metrics that are drawn step by step."""
        return [name for name in self._tables.step_metrics() if name in network.metrics]

    def _network(self, dataset: str, model: str) -> Settings:
        network = self.study.network(dataset, model)
        return {
            "dataset": dataset,
            "model": model,
            "pruners": self.study.pruning_pruners(network),
            "retrain": self.study.retraining_pruners(network),
        }

    def _explained(self, dataset: str, model: str) -> Settings:
        families = self._families(dataset, model)
        return {
            **self._network(dataset, model),
            "controls": self.study.controls(),
            "explainers": self._explainers(dataset, model),
            "families": families,
            "confidence": self.study.config["statistics"]["confidence"],
        }

    def _families(self, dataset: str, model: str) -> dict[str, list[str]]:
        # Explainers on pruned copies have figures of their own.
        families = self.study.families(self.study.network(dataset, model))
        return {f: names for f, names in families.items() if not self.study.sample_pruner(f)}

    def _explainers(self, dataset: str, model: str) -> list[str]:
        known = {name for names in self._families(dataset, model).values() for name in names}
        return [n for n in self.study.network(dataset, model).explainers if n in known]

    def accuracy(self, dataset: str, model: str) -> Settings:
        """Accuracy against level and density."""
        return self._network(dataset, model)

    def metric(self, dataset: str, model: str, metric: str) -> Settings:
        """One metric: against level and density, against dense, by stratum, by prediction."""
        facts = {metric: self._tables.metric_facts()[metric]}
        return {**self._explained(dataset, model), "metric": metric, "metrics": facts}

    def step_curves(self, dataset: str, model: str, metric: str) -> Settings:
        """One metric step by step."""
        facts = {metric: self._tables.step_facts(metric)}
        return {**self._explained(dataset, model), "metric": metric, "metrics": facts}

    def agreement(self, dataset: str, model: str, metric: str) -> Settings:
        """One metric of agreement."""
        return {**self._explained(dataset, model), "metric": metric}

    def correlations(self, dataset: str, model: str) -> Settings:
        """Correlations with accuracy."""
        metrics = list(self.study.network(dataset, model).metrics)
        return {**self._explained(dataset, model), "metrics": metrics}

    def conversion(self, dataset: str, model: str) -> Settings:
        """What removing dead units saves."""
        return self._network(dataset, model)

    def sheet(self, dataset: str, model: str) -> Settings:
        """Sheet of heatmaps."""
        config = self.study.config
        return {
            "condition": self.study.conditions(dataset)[0],
            "images": config["figures"]["sheet_images"],
            "explainers": self._explainers(dataset, model),
        }


class ConceptSettings(_OfStudy):
    """The `settings` and the registered `items` of every rule about concepts."""

    def __init__(self, study: Study) -> None:
        super().__init__(study)
        self.plan = ConceptPlan(study)
        self._rules = RuleSettings(study)

    def _method(self, concept: str) -> Settings:
        entry = self.plan.entry(concept)
        return {key: entry[key] for key in ("method", "parameters")}

    def features(self) -> Settings:
        """Extracting a checkpoint's features."""
        analysis = self.study.config["concept_analysis"]
        threads = self.study.config["torch_threads"]
        return {"batch_size": analysis["batch_size"], "threads": threads}

    def features_items(self, model: str) -> list[Item]:
        """The architecture."""
        return self._rules.network_items(model)

    def find(self, concept: str) -> Settings:
        """Finding the concepts of a checkpoint."""
        images = self.study.config["concept_analysis"]["images"]
        return {
            **self.features(),
            **self._method(concept),
            "images": images,
            "study": self.study.name,
        }

    def find_items(self, concept: str, model: str) -> list[Item]:
        """The method and the architecture."""
        return [*self.compare_items(concept), *self.features_items(model)]

    def compare(
        self, dataset: str, model: str, seed: str, pruner: str, level: int, concept: str
    ) -> Settings:
        """Comparing a checkpoint's concepts with those of its references."""
        references = self.study.references(Place(dataset, model, int(seed), pruner, level))
        return {
            **self._method(concept),
            "threads": self.study.config["torch_threads"],
            "references": [
                {"pruner": r.pruner, "seed": r.seed, "level": r.level} for r in references
            ],
        }

    def compare_items(self, concept: str) -> list[Item]:
        """The method."""
        return [CONCEPTS.item(self.plan.entry(concept)["method"])]

    def _facts(self, concept: str) -> dict[str, dict[str, list[str]]]:
        """Kind of number to measure to its direction and unit."""
        facts = self.plan.facts(concept)
        kinds = {"found": facts["measures"], "compared": facts["comparisons"]}
        return {
            kind: {measure: list(of[:2]) for measure, of in known.items()}
            for kind, known in kinds.items()
        }

    def summary(self) -> Settings:
        """Summarising concepts over networks."""
        return {
            "confidence": self.study.config["statistics"]["confidence"],
            "retrain": self.study.retraining_pruners(),
            "measures": {name: self._facts(name) for name in self.plan.names()},
            "tables": [n for n in self.plan.names() if self.plan.facts(n)["shared_names"]],
        }

    def figure(self, dataset: str, model: str, concept: str) -> Settings:
        """One method's measures and drift over levels."""
        network = self.study.network(dataset, model)
        return {
            "dataset": dataset,
            "model": model,
            "concept": concept,
            "pruners": self.study.pruning_pruners(network),
            "retrain": self.study.retraining_pruners(network),
            "confidence": self.study.config["statistics"]["confidence"],
            "measures": self._facts(concept),
            "chance": dict(self.plan.facts(concept)["chance"]),
        }

    def page(self) -> Settings:
        """The page of tables of the most important concepts."""
        return {"study": self.study.name, "retrain": self.study.retraining_pruners()}

    def sheet(self, dataset: str, model: str, concept: str) -> Settings:
        """A sheet of one method's concepts."""
        return {"dataset": dataset, "model": model, "concept": concept}


#: memory in MB of a job without what is recorded of images: libraries, network, a batch of copies
_BESIDE = 4000


class SampleSettings:
    """The `settings` and the registered `items` of every rule of sample-targeted pruning."""

    def __init__(self, study: Study) -> None:
        self.study = study
        self._rules = RuleSettings(study)
        self._tables = TableSettings(study)

    def _entry(self, sample_pruner: str) -> Settings:
        return dict(self.study.catalogue["sample_pruners"][sample_pruner])

    def search_of(self, sample_pruner: str) -> str:
        """The sample pruner whose search gives this one's sparsities; empty where there is none."""
        giver = sparsities_from(self.study.catalogue, sample_pruner)
        return giver if searches(self._entry(giver)) else ""

    def explain(self, family: str, dataset: str, model: str) -> Settings:
        """Explaining with one family on copies that are pruned for each image."""
        name = self.study.sample_pruner(family)
        return {
            **self._rules.explain(family, dataset, model),
            "sample_pruner": self._pruning(name),
        }

    def _pruning(self, name: str) -> Settings:
        """A sample pruner, its sparsities empty where a file of a search has them."""
        giver = self._entry(sparsities_from(self.study.catalogue, name))
        given = {} if searches(giver) else giver["sparsities"]
        return {**self._entry(name), "name": name, "sparsities": given}

    def explain_items(self, family: str, dataset: str, model: str) -> list[Item]:
        """The explainers, the architecture and the solver."""
        return [
            *self._rules.explain_items(family, dataset, model),
            *self._solver_items(self.study.sample_pruner(family)),
        ]

    def searching_pruners(self) -> list[str]:
        """The sample pruners that search for sparsities, for themselves or for others."""
        chosen = [*self.study.config.get("sample_pruning", {}).get("pruners", [])]
        if self.visualisation_pruner():
            chosen.append(self.visualisation_pruner())
        return list(dict.fromkeys(filter(None, map(self.search_of, chosen))))

    def unpruned_family(self, family: str) -> str:
        """The family of the same explainers on the network itself."""
        return unpruned_family(self.study.sample_pruner(family), family)

    def search(self, sample_pruner: str) -> Settings:
        """Searching for the sparsities of a checkpoint."""
        entry = self._entry(sample_pruner)
        threads = self.study.config["torch_threads"]
        return {"sample_pruner": {**entry, "name": sample_pruner}, "threads": threads}

    def search_items(self, sample_pruner: str, model: str) -> list[Item]:
        """The solver and the architecture."""
        return [*self._solver_items(sample_pruner), *self._rules.network_items(model)]

    def _solver_items(self, sample_pruner: str) -> list[Item]:
        return [SOLVERS.item(self._entry(sample_pruner)["solver"])]

    def megabytes(self, sample_pruner: str) -> int:
        """What a job that prunes for samples reserves: what it may record, and all else."""
        return int(self._entry(sample_pruner)["memory_mb"]) + _BESIDE

    def calibration_split(self, sample_pruner: str) -> str:
        """The split that the images of a search come from."""
        return str(self._entry(sample_pruner)["sparsities"]["search"]["split"])

    def pairs(self, network: Network | None = None) -> dict[str, list[str]]:
        """Derived explainer to its sample pruner and its explainer, of a network or of all."""
        runs = self.study.config["explainers"] if network is None else network.explainers
        found = {
            derived_name(pruner, base): [pruner, base]
            for pruner in self.study.config.get("sample_pruning", {}).get("pruners", [])
            for base in explainers_for_copies(self.study.config)
        }
        return {name: pair for name, pair in found.items() if name in runs}

    def summary(self) -> Settings:
        """Comparing explanations on pruned copies with those on the network."""
        return {
            **self._tables.summary(),
            **self._tables.contrasts(),
            "pairs": self.pairs(),
            # Keys of a mapping are sorted on their way to a job, a list is not.
            "sample_pruners": list(self.study.config["sample_pruning"]["pruners"]),
        }

    def figure(self, dataset: str, model: str) -> Settings:
        """Explainers of a network with and without sample-targeted pruning, by a metric."""
        network = self.study.network(dataset, model)
        return {
            "dataset": dataset,
            "model": model,
            "explainers": [
                n for n in explainers_for_copies(self.study.config) if n in network.explainers
            ],
            "sample_pruners": list(self.study.config["sample_pruning"]["pruners"]),
            "metrics": self._tables.metric_facts(),
            "confidence": self.study.config["statistics"]["confidence"],
        }

    def visualisation_pruner(self) -> str:
        """The sample pruner on whose copies classes are visualised; empty where none are."""
        return str(visualisation(self.study.config).get("sample_pruner", ""))

    def visualised_networks(self) -> list[Network]:
        """The networks of which classes are visualised."""
        return visualised_networks(self.study)

    def visualise(self, dataset: str) -> Settings:
        """Making pictures of the classes that stickers stand for."""
        chosen = visualisation(self.study.config)
        return {
            "stickers": visualised_stickers(self.study, dataset),
            "visualised": {key: chosen[key] for key in ("method", "steps", "crops", "seed")},
            "sample_pruner": self._pruning(self.visualisation_pruner()),
            "threads": self.study.config["torch_threads"],
        }

    def visualise_items(self, model: str) -> list[Item]:
        """The solver and the architecture."""
        return [*self._solver_items(self.visualisation_pruner()), *self._rules.network_items(model)]

    def sheet(self, dataset: str, model: str) -> Settings:
        """A sheet of these pictures."""
        return {"dataset": dataset, "model": model}

    def draws_toy(self) -> bool:
        """Whether the toy of two regions is pruned and drawn."""
        return bool(self.study.config.get("sample_pruning", {}).get("toy", False))

    def toy(self) -> Settings:
        """Pruning the toy."""
        return {"threads": self.study.config["torch_threads"]}
