"""For each rule: the configuration values that its jobs use, and the modules behind their names.

A job runs again when these values change, or the versions of these items; what makes a file of
entries computes only those whose own values or versions changed. So a value that a job does
not use must not be here, and one that it uses must be.
"""

from collections.abc import Iterable
from functools import cached_property
from itertools import product
from typing import Any, NamedTuple

from sparsight.analysis.claims.registry import CLAIMS
from sparsight.concepts.registry import CONCEPTS
from sparsight.data.registry import SOURCES
from sparsight.explain.registry import EXPLAINERS
from sparsight.io.entries import BETWEEN
from sparsight.metrics.registry import AGREEMENT, METRICS
from sparsight.models.registry import MODELS
from sparsight.pruning.registry import CRITERIA, ITERATIVE, ONE_SHOT, UNSTRUCTURED
from sparsight.registration import Item
from sparsight.spade.registry import SOLVERS, derived_name
from sparsight.study.configuration import source_and_options, source_items, without_mirrors
from sparsight.study.labels import COLUMNS, study_labels
from sparsight.study.plan import (
    CHOICES,
    DENSE,
    EXPLAINED,
    WORDS,
    ConceptPlan,
    Network,
    Place,
    Study,
    architecture_facts,
    explainers_for_copies,
    metric_facts,
    searches,
    sparsities_from,
    unpruned_family,
    visualisation,
    visualised_stickers,
)

Settings = dict[str, Any]
#: kinds of names (`ClaimTest.refers`) that are explainers
_EXPLAINERS = ("explainer", "explainer of the same images")
#: kinds of names that are pruners
_PRUNERS = ("pruner", "retraining pruner", "pruner that prunes", "pruners that prune")

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


def _all_items(entries: Entries) -> list[Item]:
    return sorted({item for items in entries.items.values() for item in items})


class _OfStudy:
    def __init__(self, study: Study) -> None:
        self.study, self.config = study, study.config
        self._threads = {"threads": study.config["torch_threads"]}

    def _entry(self, group: str, name: str) -> Settings:
        # What something is called changes nothing that is computed.
        entry = self.study.catalogue[group][name]
        return {key: value for key, value in entry.items() if key != "label"}

    @cached_property
    def _labels(self) -> dict[str, dict[str, str]]:
        return study_labels(self.config)

    def labels(self, network: Network | None = None, **more: Iterable[str]) -> Settings:
        """Labels of a network's names, or of the whole study's, for `sparsight.plots.labels`.

        `more` are further names, or others than those of the network, by column of the tables.
        """
        if network is None:
            return self._labels
        names = {
            "dataset": [network.dataset],
            "model": [network.model],
            "pruner": network.pruners,
            **more,
        }
        return {
            column: {name: self._labels[column][name] for name in chosen}
            for column, chosen in names.items()
        }

    def _references(self, place: Place) -> list[Settings]:
        return [
            {"pruner": other.pruner, "seed": other.seed, "level": other.level}
            for other in self.study.references(place)
        ]


class RuleSettings(_OfStudy):
    """The `settings` and the registered `items` of the rules of networks and their explanations."""

    def fetching(self, dataset: str) -> Settings:
        """Finding or downloading the original files."""
        entry = self._entry("datasets", dataset)
        found = {**entry["options"], "source": entry["source"], **self.weights()}
        name, options = source_and_options(entry)
        if SOURCES.facts(name).get("path_parameters"):
            # Files of the user's own that change are looked at, and packed, again.
            found["state"] = SOURCES.load(name).found(options)["state"]
        return found

    def packing(self, dataset: str) -> Settings:
        """Packing them."""
        entry = self._entry("datasets", dataset)
        return {**without_mirrors(entry.pop("options")), **entry}

    def dataset_items(self, dataset: str) -> list[Item]:
        """The data source, and the one whose images it takes."""
        return source_items(self._entry("datasets", dataset))

    def _network(self, dataset: str, model: str) -> Settings:
        facts = architecture_facts(self.study, dataset, model)
        # Only jobs that write the study's name into a result may know it: packed data are shared.
        return {
            "study": self.study.name,
            "architecture": self._entry("models", model)["architecture"],
            "options": self._entry("models", model)["options"],
            "noise_maximum": self._entry("datasets", dataset)["noise"]["maximum"],
            **({"traced": facts["traced"]} if facts.get("traced") else {}),
            **self._threads,
        }

    def weights(self) -> Settings:
        """Finding or downloading a file of weights."""
        return {"data_folder": self.config["data_folder"]}

    def start(self, dataset: str, model: str) -> Settings:
        """Rewind point."""
        entry = self._entry("models", model)
        found = {**self._network(dataset, model), "training": entry["training"]}
        # Only where they are used: other studies' settings shall stay as they were.
        if self.study.initial_weights(model) != "random":
            found["initial_weights"] = self.study.initial_weights(model)
            found |= self._classes_taken(dataset, model)
        if self.study.is_untrained(model):
            found["untrained"] = True
        if other := self.study.pretraining_dataset(model):
            found["pretraining"] = {
                "dataset": other,
                "recipe": entry["pretraining"],
                "noise_maximum": self._entry("datasets", other)["noise"]["maximum"],
            }
        return found

    def epoch_point(self, dataset: str, model: str) -> Settings:
        """Rewind point of `epoch:k`."""
        retraining = self._entry("models", model)["retraining"]
        return {**self._network(dataset, model), "retraining": retraining}

    def dense(self, dataset: str, model: str) -> Settings:
        """Dense network."""
        batch_size = self._entry("models", model)["evaluation_batch_size"]
        return {**self.epoch_point(dataset, model), "evaluation_batch_size": batch_size}

    def level(self, dataset: str, model: str, pruner: str, level: int) -> Settings:
        """One round; it does not know how many there are, so that adding one runs only that."""
        entry = self._entry("pruners", pruner)
        found = {
            **self.dense(dataset, model),
            **{key: entry[key] for key in ("scope", "rewind", "published_bugs")},
            "rate": entry.get("rate"),
            "density": entry["densities"][level - 1] if "densities" in entry else None,
        }
        if entry["retraining"] is not None:
            found["retraining"] = entry["retraining"]
        # Only where it is used: other studies' settings shall stay as they were.
        if "criterion" in entry:
            found["criterion"] = entry["criterion"]
        if bits := entry.get("bits"):
            found["bits"] = bits[level - 1] if isinstance(bits, list) else bits
        if "recalibrate_batch_norm" in entry:
            found["recalibrate_batch_norm"] = entry["recalibrate_batch_norm"]
        if "teacher" in entry:
            found["distillation"] = entry["distillation"]
        # From which level a level is pruned is in its input files.
        if entry["schedule"] not in (ITERATIVE, ONE_SHOT):
            found["schedule"] = entry["schedule"]
        if entry["structure"] != UNSTRUCTURED:
            found["structure"] = entry["structure"]
        for name in ("calibration", "mask_updates"):
            if name in entry:
                found[name] = entry[name]
        return found

    def given_level(self, dataset: str, model: str) -> Settings:
        """A level that another tool has made."""
        taken = self._classes_taken(dataset, model)
        return {**self.dense(dataset, model), **taken, "rewind": "none"}

    def _classes_taken(self, dataset: str, model: str) -> Settings:
        """The classes of ImageNet that are the data set's, for classifiers of all of ImageNet."""
        source, _ = source_and_options(self._entry("datasets", dataset))
        # A classifier of torchvision's weights is drawn anew all the same.
        classes = SOURCES.facts(source).get("imagenet_classes")
        if not classes or self.study.initial_weights(model) in WORDS:
            return {}
        return {"imagenet_classes": list(classes)}

    def network_items(self, model: str, pruner: str = DENSE) -> list[Item]:
        """The architecture and, where levels are pruned here, the criterion."""
        found = [MODELS.item(self._entry("models", model)["architecture"])]
        if pruner != DENSE and "criterion" in self._entry("pruners", pruner):
            found.append(CRITERIA.item(self._entry("pruners", pruner)["criterion"]))
        return found

    def explain(self, family: str, dataset: str, model: str | None = None) -> Settings:
        """Explaining a checkpoint with one family; without a model, the controls of a data set."""
        explaining = self.study.explaining(family)
        found = {key: explaining[key] for key in ("batch_size", "images", "target")}
        return {**found, "conditions": self.study.conditions(dataset), **self._threads}

    def explain_entries(self, family: str, dataset: str, model: str | None = None) -> Entries:
        """The explainers of a file of explanations."""
        network = None if model is None else self.study.network(dataset, model)
        names = self.study.families(network)[family]
        # How they are explained is in the settings that they share.
        explainers = {
            name: {
                key: value
                for key, value in self._entry("explainers", name).items()
                if key not in EXPLAINED
            }
            for name in names
        }
        items = {name: [EXPLAINERS.item(entry["method"])] for name, entry in explainers.items()}
        return Entries({"explainers": explainers}, explainers, items)

    def explain_items(self, family: str, dataset: str, model: str | None = None) -> list[Item]:
        """The explainers and the architecture, where there is a network."""
        found = _all_items(self.explain_entries(family, dataset, model))
        return found if model is None else [*found, *self.network_items(model)]

    def score(self, family: str, dataset: str, model: str) -> Settings:
        """Scoring one family of one checkpoint."""
        # Which images were explained is in the file of explanations.
        explained = self.explain(family, dataset, model)
        found = {key: value for key, value in explained.items() if key != "images"}
        return {**found, "study": self.study.name}

    def score_entries(self, family: str, dataset: str, model: str) -> Entries:
        """Each explainer of a family with each metric."""
        explainers = self.explain_entries(family, dataset, model).settings
        limit = self.config["explaining"]["re_explaining_cost"]
        settings: dict[str, Any] = {}
        items: dict[str, list[Item]] = {}
        groups: Settings = {"explainers": explainers, "metrics": {}}
        for name in self.study.network(dataset, model).metrics:
            metric = self._entry("metrics", name)
            # The reducer belongs to the tables.
            metric.pop("reducer", None)
            again = "explainer" in metric_facts(metric["method"])["needs"]
            if again and self.study.sample_pruner(family):
                # It would explain again with the network itself, not with an image's copy of it.
                continue
            groups["metrics"][name] = metric
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
        found = _all_items(self.score_entries(family, dataset, model))
        metrics = [item for item in found if item.kind == METRICS.kind]
        called = [] if metrics == found else self.explain_items(family, dataset, model)
        return [*metrics, *self.network_items(model), *called]

    def compare(
        self, dataset: str, model: str, seed: str, pruner: str, level: int, family: str
    ) -> Settings:
        """Comparing a checkpoint's maps of one family with those of its references."""
        references = self._references(Place(dataset, model, int(seed), pruner, level))
        return {**self.score(family, dataset, model), "references": references}

    def compare_entries(self, family: str, dataset: str, model: str) -> Entries:
        """Each explainer of a family with each metric of agreement."""
        explainers = self.explain_entries(family, dataset, model).settings
        agreement = {name: self._entry("agreement", name) for name in self.config["agreement"]}
        pairs = {
            f"{explainer}{BETWEEN}{name}": entry
            for name, entry in agreement.items()
            for explainer in explainers
        }
        items = {pair: [AGREEMENT.item(entry["method"])] for pair, entry in pairs.items()}
        return Entries({"explainers": explainers, "agreement": agreement}, pairs, items)

    def compare_items(self) -> list[Item]:
        """The metrics of agreement."""
        methods = {self._entry("agreement", name)["method"] for name in self.config["agreement"]}
        return [AGREEMENT.item(method) for method in sorted(methods)]


def _listed(place: Place) -> list[Any]:
    """A checkpoint as tables name it."""
    return [place.dataset, place.model, place.pruner, place.seed, place.level]


class TableSettings(_OfStudy):
    """The `settings` of every rule that makes a table or a figure."""

    def metric_facts(self) -> dict[str, Settings]:
        """Metric to its direction and unit, for figures."""
        facts = {
            n: metric_facts(self._entry("metrics", n)["method"]) for n in self.config["metrics"]
        }
        return {n: {key: of[key] for key in ("direction", "unit")} for n, of in facts.items()}

    def _statistics(self) -> Settings:
        return {"statistics": dict(self.config["statistics"])}

    def _reducers(self) -> dict[str, str]:
        """Metrics whose steps become one number, and how."""
        found = {}
        for name in self.config["metrics"]:
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
        chosen = sorted(self.config["agreement"])
        entries = {name: {**each, "metrics": chosen} for name, each in self.entries().items()}
        retrain = self.study.retraining_pruners()
        return {**self.contrasts(), "retrain": retrain, "entries": entries}

    def exemplars(self) -> Settings:
        """Finding images that are forgotten, and classes that are harmed."""
        agreement = self.agreement()
        return {
            "checkpoints": [_listed(place) for place in self.study.places()],
            "entries": agreement["entries"],
            "confidence": self.config["statistics"]["confidence"],
        }

    def atlas(self) -> Settings:
        """Writing the atlas; files are parallel to the lists of their places."""
        floors = self.study.floors()
        agreement = {n: self._entry("agreement", n)["method"] for n in self.config["agreement"]}
        return {
            "study": self.study.name,
            "networks": [
                {
                    "dataset": network.dataset,
                    "model": network.model,
                    "seeds": list(network.seeds),
                    "conditions": self.study.conditions(network.dataset),
                    "pruners": {name: self.study.level_count(name) for name in network.pruners},
                    "floors": {
                        name: [floor for floor in floors[name] if floor in network.pruners]
                        for name in self.study.pruning_pruners(network)
                    },
                    "explainers": list(network.explainers),
                    "metrics": list(network.metrics),
                    "concepts": ConceptPlan(self.study).sheets(network),
                }
                for network in self.study.networks()
            ],
            "metrics": self.metric_facts(),
            "agreement": {
                name: {key: AGREEMENT.facts(method)[key] for key in ("direction", "unit")}
                for name, method in agreement.items()
            },
            "checkpoints": [_listed(place) for place in self.study.places()],
            "explained": [_listed(place) for place, _ in self.study.explained_places()],
            "controls": [dataset for dataset, _ in self.study.controlled_datasets()],
            "described": [
                [*_listed(place), name] for place, name in ConceptPlan(self.study).drawn()
            ],
            "labels": self.labels(),
            "reducers": self._reducers(),
            "entries": self.entries(),
            "agreement_entries": self.agreement()["entries"],
        }

    def equal_accuracy(self) -> Settings:
        """Comparing pruners where their networks have lost as much accuracy."""
        return {**self.contrasts(), "floors": self.study.floors()}

    def step_curves(self) -> Settings:
        """Summarising metrics step by step."""
        return {
            "metrics": sorted(self.step_metrics()),
            "entries": self.entries(),
            "controls": self.study.controls(),
            "confidence": self.config["statistics"]["confidence"],
        }

    def claims(self) -> Settings:
        """Deciding the claims of the study."""
        first = self.study.networks()[0]
        claims = [
            {"dataset": first.dataset, "model": first.model, **claim}
            for claim in self.config["claims"]
        ]
        for claim in claims:
            # The first that the claim's own data set has.
            claim.setdefault("condition", self.study.conditions(claim["dataset"])[0])
        checkpoints = [_listed(place) for place in self.claim_places()]
        named = {value for claim in claims for value in claim.values() if isinstance(value, str)}
        return {
            "statistics": {"confidence": self.config["statistics"]["confidence"]},
            "claims": claims,
            "checkpoints": checkpoints,
            "copies": self.claim_copies(),
            "reducers": {name: how for name, how in self._reducers().items() if name in named},
            "look": self.study.look,
            "looks": self.study.looks,
            "study": self.study.name,
        }

    def claim_places(self) -> list[Place]:
        """The checkpoints that the claims are about, with their dense networks."""
        first, chains = self.study.networks()[0], set()
        for claim in self.config["claims"]:
            refers = CLAIMS.facts(claim["test"])["refers"]
            pruners = [claim.get(key) for key, kind in refers.items() if kind in _PRUNERS]
            named = {name for of in pruners for name in (of if isinstance(of, list) else [of])}
            network = claim.get("dataset", first.dataset), claim.get("model", first.model)
            chains |= {(*network, pruner) for pruner in (DENSE, claim.get("pruner"), *named)}
        return [
            place
            for place in self.study.places()
            if (place.dataset, place.model, place.pruner) in chains
        ]

    def claim_explainers(self) -> set[str]:
        """The explainers whose scores the claims are about."""
        found: set[str] = set()
        for claim in self.config["claims"]:
            refers = CLAIMS.facts(claim["test"])["refers"]
            found |= {claim.get("explainer", "")}
            found |= {claim.get(k, "") for k, kind in refers.items() if kind in _EXPLAINERS}
            if "explainers on copies" in refers.values():
                pruners = (claim.get(key) for key in ("sample_pruner", "other_sample_pruner"))
                for pruner, name in product(pruners, claim["explainers"]):
                    found.add(derived_name(pruner, name) if pruner else name)
        return found - {""}

    def has_agreement_claims(self) -> bool:
        """Whether a claim is about the agreement with the dense parent."""
        names = set(self.config["agreement"])
        claims = (claim for claim in self.config["claims"] if claim["test"] != "pooled")
        return any(names & {claim.get("metric"), claim.get("of")} for claim in claims)

    def drawn_claims(self) -> Settings:
        """Drawing the claims."""
        return {"study": self.study.name, "labels": self.labels()}

    def claim_copies(self) -> dict[str, list[str]]:
        """Claim to the sample pruners on whose copies it explains, where it does."""
        found = {}
        for claim in self.config["claims"]:
            pruners = {claim.get(key, "") for key in ("sample_pruner", "other_sample_pruner")}
            for key in ("explainer", "other_explainer"):
                if explainer := claim.get(key):
                    family = self._entry("explainers", explainer)["family"]
                    pruners.add(self.study.sample_pruner(family))
            if named := sorted(pruners - {""}):
                found[claim["name"]] = named
        return found

    def claim_items(self) -> list[Item]:
        """The tests of claims."""
        tests = {claim["test"] for claim in self.config["claims"]}
        return [CLAIMS.item(test) for test in sorted(tests)]

    def guide(self) -> Settings:
        """Writing the guide to the report: what was studied, by name."""
        labels = self.labels()
        studied = {
            group: [labels[COLUMNS[group]][name] for name in self.config[group]]
            for group in (*CHOICES[2:5], "concepts")
        }
        studied["networks"] = [
            f"{labels['model'][network.model]} on {labels['dataset'][network.dataset]} "
            f"(seeds {', '.join(map(str, network.seeds))})"
            for network in self.study.networks()
        ]
        return {
            "study": self.study.name,
            "confidence": self.config["statistics"]["confidence"],
            "studied": {group.capitalize(): names for group, names in studied.items()},
        }

    def costs(self) -> Settings:
        """Gathering benchmarks: how their paths name rule and wildcards."""
        return {"patterns": list(PATTERNS), "study": self.study.name}

    def whole(self) -> Settings:
        """The choices of the study and the catalogue's entries that it uses."""
        catalogue = self.study.catalogue
        used = {group: {n: catalogue[group][n] for n in self.config[group]} for group in CHOICES}
        return {**self.config, "catalogue": used}


class FigureSettings(_OfStudy):
    """The `settings` of every rule that draws."""

    def __init__(self, study: Study) -> None:
        super().__init__(study)
        self._tables = TableSettings(study)

    def headline_metrics(self, network: Network) -> list[str]:
        """The metrics whose contrasts, strata and predictions are drawn."""
        chosen = self.config["figures"]["headline_metrics"] or network.metrics[:1]
        return [metric for metric in chosen if metric in network.metrics]

    def step_metrics(self, network: Network) -> list[str]:
        """The metrics that are drawn step by step."""
        return [name for name in self._tables.step_metrics() if name in network.metrics]

    def accuracy(self, dataset: str, model: str) -> Settings:
        """Accuracy against level and density."""
        network = self.study.network(dataset, model)
        return {
            "dataset": dataset,
            "model": model,
            "pruners": self.study.pruning_pruners(network),
            "retrain": self.study.retraining_pruners(network),
            "labels": self.labels(network),
        }

    def _explained(self, dataset: str, model: str, metrics: Iterable[str] = ()) -> Settings:
        families = self._families(dataset, model)
        network = self.study.network(dataset, model)
        return {
            **self.accuracy(dataset, model),
            "labels": self.labels(network, explainer=network.explainers, metric=metrics),
            "test_images": self.config["explaining"]["images"],
            "controls": self.study.controls(),
            "explainers": self._explainers(dataset, model),
            "families": families,
            "confidence": self.config["statistics"]["confidence"],
        }

    def _families(self, dataset: str, model: str) -> dict[str, list[str]]:
        # Explainers on pruned copies have figures of their own.
        families = self.study.families(self.study.network(dataset, model))
        return {f: names for f, names in families.items() if not self.study.sample_pruner(f)}

    def _explainers(self, dataset: str, model: str) -> list[str]:
        known = {name for names in self._families(dataset, model).values() for name in names}
        return [n for n in self.study.network(dataset, model).explainers if n in known]

    def metric(self, dataset: str, model: str, metric: str) -> Settings:
        """One metric: against level and density, against dense, by stratum, by prediction."""
        facts = {metric: self._tables.metric_facts()[metric]}
        return {**self._explained(dataset, model, facts), "metric": metric, "metrics": facts}

    def step_curves(self, dataset: str, model: str, metric: str) -> Settings:
        """One metric step by step."""
        facts = {metric: self._tables.step_facts(metric)}
        return {**self._explained(dataset, model, facts), "metric": metric, "metrics": facts}

    def agreement(self, dataset: str, model: str, metric: str) -> Settings:
        """One metric of agreement."""
        return {**self._explained(dataset, model, [metric]), "metric": metric}

    def correlations(self, dataset: str, model: str) -> Settings:
        """Correlations with accuracy."""
        metrics = list(self.study.network(dataset, model).metrics)
        return {**self._explained(dataset, model, metrics), "metrics": metrics}

    def sheet(self, dataset: str, model: str) -> Settings:
        """Sheet of heatmaps."""
        network = self.study.network(dataset, model)
        return {
            "condition": self.study.conditions(dataset)[0],
            "images": self.config["figures"]["sheet_images"],
            "explainers": self._explainers(dataset, model),
            "labels": self.labels(network, explainer=network.explainers),
        }


class ConceptSettings(_OfStudy):
    """The `settings` and the registered `items` of every rule about concepts."""

    def __init__(self, study: Study) -> None:
        super().__init__(study)
        self.plan = ConceptPlan(study)

    def _method(self, concept: str) -> Settings:
        entry = self.plan.entry(concept)
        return {**{key: entry[key] for key in ("method", "parameters")}, **self._threads}

    def features(self) -> Settings:
        """Extracting a checkpoint's features."""
        return {"batch_size": self.config["concept_analysis"]["batch_size"], **self._threads}

    def find(self, concept: str) -> Settings:
        """Finding the concepts of a checkpoint."""
        images = self.config["concept_analysis"]["images"]
        return {
            **self.features(),
            **self._method(concept),
            "images": images,
            "study": self.study.name,
        }

    def find_items(self, concept: str, model: str) -> list[Item]:
        """The method and the architecture."""
        return [*self.compare_items(concept), *RuleSettings(self.study).network_items(model)]

    def compare(
        self, dataset: str, model: str, seed: str, pruner: str, level: int, concept: str
    ) -> Settings:
        """Comparing a checkpoint's concepts with those of its references."""
        references = self._references(Place(dataset, model, int(seed), pruner, level))
        return {**self._method(concept), "references": references}

    def compare_items(self, concept: str) -> list[Item]:
        """The method."""
        return [CONCEPTS.item(self.plan.entry(concept)["method"])]

    def _facts(self, concept: str) -> dict[str, dict[str, list[str]]]:
        """Kind of number to measure to its direction and unit."""
        facts = self.plan.facts(concept)
        return {
            kind: {measure: list(of[:2]) for measure, of in facts[fact].items()}
            for kind, fact in (("found", "measures"), ("compared", "comparisons"))
        }

    def summary(self) -> Settings:
        """Summarising concepts over networks."""
        return {
            "confidence": self.config["statistics"]["confidence"],
            "retrain": self.study.retraining_pruners(),
            "measures": {name: self._facts(name) for name in self.plan.names()},
            "tables": [n for n in self.plan.names() if self.plan.facts(n)["shared_names"]],
        }

    def figure(self, dataset: str, model: str, concept: str) -> Settings:
        """One method's measures and drift over levels."""
        return {
            **FigureSettings(self.study).accuracy(dataset, model),
            "labels": self.labels(self.study.network(dataset, model), concept=[concept]),
            "test_images": self.config["concept_analysis"]["images"],
            "concept": concept,
            "confidence": self.config["statistics"]["confidence"],
            "measures": self._facts(concept),
            "chance": dict(self.plan.facts(concept)["chance"]),
        }

    def sheet(self, dataset: str, model: str, concept: str) -> Settings:
        """A sheet of one method's concepts."""
        network = self.study.network(dataset, model)
        return {
            "dataset": dataset,
            "model": model,
            "concept": concept,
            "labels": self.labels(network, concept=[concept]),
        }

    def page(self) -> Settings:
        """The page of tables of the most important concepts."""
        return {
            "study": self.study.name,
            "retrain": self.study.retraining_pruners(),
            "labels": self.labels(),
        }


#: memory in MB of a job without what is recorded of images: libraries, network, a batch of copies
_BESIDE = 4000


class SampleSettings(_OfStudy):
    """The `settings` and the registered `items` of every rule of sample-targeted pruning."""

    def __init__(self, study: Study) -> None:
        super().__init__(study)
        self._rules, self._tables = RuleSettings(study), TableSettings(study)
        self._pruners: list[str] = self.config["sample_pruning"]["pruners"]

    def _sample_pruner(self, name: str) -> Settings:
        return self._entry("sample_pruners", name)

    def search_of(self, sample_pruner: str) -> str:
        """The sample pruner whose search gives this one's sparsities; empty where there is none."""
        giver = sparsities_from(self.study.catalogue, sample_pruner)
        return giver if searches(self._sample_pruner(giver)) else ""

    def explain(self, family: str, dataset: str, model: str) -> Settings:
        """Explaining with one family on copies that are pruned for each image."""
        explained = self._rules.explain(family, dataset, model)
        return {**explained, "sample_pruner": self._pruning(self.study.sample_pruner(family))}

    def _pruning(self, name: str) -> Settings:
        """A sample pruner, its sparsities empty where a file of a search has them."""
        giver = self._sample_pruner(sparsities_from(self.study.catalogue, name))
        given = {} if searches(giver) else giver["sparsities"]
        return {**self._sample_pruner(name), "name": name, "sparsities": given}

    def explain_items(self, family: str, dataset: str, model: str) -> list[Item]:
        """The explainers, the architecture and the solver."""
        solver = self._solver_item(self.study.sample_pruner(family))
        return [*self._rules.explain_items(family, dataset, model), solver]

    def searching_pruners(self) -> list[str]:
        """The sample pruners that search for sparsities, for themselves or for others."""
        chosen = filter(None, [*self._pruners, self.visualisation_pruner()])
        return list(dict.fromkeys(filter(None, map(self.search_of, chosen))))

    def unpruned_family(self, family: str) -> str:
        """The family of the same explainers on the network itself."""
        return unpruned_family(self.study.sample_pruner(family), family)

    def search(self, sample_pruner: str) -> Settings:
        """Searching for the sparsities of a checkpoint."""
        entry = {**self._sample_pruner(sample_pruner), "name": sample_pruner}
        return {"sample_pruner": entry, **self._threads}

    def search_items(self, sample_pruner: str, model: str) -> list[Item]:
        """The solver and the architecture."""
        return [self._solver_item(sample_pruner), *self._rules.network_items(model)]

    def _solver_item(self, sample_pruner: str) -> Item:
        return SOLVERS.item(self._sample_pruner(sample_pruner)["solver"])

    def megabytes(self, sample_pruner: str) -> int:
        """What a job that prunes for samples reserves: what it may record, and all else."""
        return int(self._sample_pruner(sample_pruner)["memory_mb"]) + _BESIDE

    def calibration_split(self, sample_pruner: str) -> str:
        """The split that the images of a search come from."""
        return str(self._sample_pruner(sample_pruner)["sparsities"]["search"]["split"])

    def pairs(self, network: Network | None = None) -> dict[str, list[str]]:
        """Derived explainer to its sample pruner and its explainer, of a network or of all."""
        runs = self.config["explainers"] if network is None else network.explainers
        found = {
            derived_name(pruner, base): [pruner, base]
            for pruner in self._pruners
            for base in explainers_for_copies(self.config)
        }
        return {name: pair for name, pair in found.items() if name in runs}

    def summary(self) -> Settings:
        """Comparing explanations on pruned copies with those on the network."""
        return {
            **self._tables.summary(),
            **self._tables.contrasts(),
            "pairs": self.pairs(),
            # Keys of a mapping are sorted on their way to a job, a list is not.
            "sample_pruners": list(self._pruners),
        }

    def figure(self, dataset: str, model: str) -> Settings:
        """Explainers of a network with and without sample-targeted pruning, by a metric."""
        network = self.study.network(dataset, model)
        runs = network.explainers
        return {
            "dataset": dataset,
            "model": model,
            "explainers": [name for name in explainers_for_copies(self.config) if name in runs],
            "sample_pruners": list(self._pruners),
            "metrics": self._tables.metric_facts(),
            "labels": self.labels(
                network,
                explainer=network.explainers,
                metric=network.metrics,
                sample_pruner=self._pruners,
            ),
            "confidence": self.config["statistics"]["confidence"],
        }

    def visualisation_pruner(self) -> str:
        """The sample pruner on whose copies classes are visualised; empty where none are."""
        return str(visualisation(self.config).get("sample_pruner", ""))

    def visualised_networks(self) -> list[Network]:
        """The networks of which classes are visualised."""
        return [n for n in self.study.networks() if visualised_stickers(self.study, n.dataset)]

    def visualise(self, dataset: str) -> Settings:
        """Making pictures of the classes that stickers stand for."""
        chosen = visualisation(self.config)
        return {
            "stickers": visualised_stickers(self.study, dataset),
            "visualised": {key: chosen[key] for key in ("method", "steps", "crops", "seed")},
            "sample_pruner": self._pruning(self.visualisation_pruner()),
            **self._threads,
        }

    def pictures(self, dataset: str, model: str) -> Settings:
        """A sheet of these pictures."""
        network, pruner = self.study.network(dataset, model), [self.visualisation_pruner()]
        return {
            "dataset": dataset,
            "model": model,
            "labels": self.labels(network, sample_pruner=pruner),
        }

    def visualise_items(self, model: str) -> list[Item]:
        """The solver and the architecture."""
        return self.search_items(self.visualisation_pruner(), model)

    def draws_toy(self) -> bool:
        """Whether the toy of two regions is pruned and drawn."""
        return bool(self.config["sample_pruning"]["toy"])

    def toy(self) -> Settings:
        """Pruning the toy."""
        return dict(self._threads)
