"""For the rules that make tables of a whole study: the configuration values that they use."""

from collections.abc import Iterable
from typing import Any

from sparsight.analysis.claims.registry import CLAIMS
from sparsight.analysis.cost_paths import PATTERNS
from sparsight.registration import Item
from sparsight.study.configuration import CHOICES
from sparsight.study.plan import Network, Study, metric_facts

Settings = dict[str, Any]


class TableSettings:
    """The `settings` of every rule that makes a table or a figure."""

    def __init__(self, study: Study) -> None:
        self.study = study

    def _entry(self, group: str, name: str) -> Settings:
        return dict(self.study.catalogue[group][name])

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
        """Holding levels against the dense networks; correlations, strata and predictions too."""
        return {**self._statistics(), "controls": self.study.controls()}

    def agreement(self) -> Settings:
        """Summarising agreement beside its floors."""
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
