"""For the rules that draw: the configuration values that they use."""

from typing import Any

from sparsight.study.plan import Network, Study
from sparsight.study.table_settings import TableSettings

Settings = dict[str, Any]


class FigureSettings:
    """The `settings` of every rule that draws."""

    def __init__(self, study: Study) -> None:
        self.study = study
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
