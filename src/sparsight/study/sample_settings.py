"""For the rules of sample-targeted pruning: the configuration values and modules that they use."""

from typing import Any

from sparsight.registration import Item
from sparsight.spade.registry import SOLVERS
from sparsight.study.plan import Network, Study
from sparsight.study.sample_pruning import (
    derived_name,
    pruned_for,
    searches,
    sparsities_from,
    unpruned_family,
)
from sparsight.study.settings import RuleSettings
from sparsight.study.table_settings import TableSettings
from sparsight.study.visualised import visualised, visualised_networks, visualised_stickers

Settings = dict[str, Any]

#: memory in MB of a job beside what is recorded of images: libraries, network, a batch of copies
_BESIDE = 4000


class SampleSettings:
    """The `settings` and the registered `items` of every rule of sample-targeted pruning."""

    def __init__(self, study: Study) -> None:
        self.study = study
        self._rules = RuleSettings(study)
        self._tables = TableSettings(study)

    def _entry(self, sample_pruner: str) -> Settings:
        return dict(self.study.catalogue["sample_pruners"][sample_pruner])

    def searched(self, sample_pruner: str) -> str:
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

    def searching(self) -> list[str]:
        """The sample pruners that search for sparsities, for themselves or for others."""
        chosen = [*self.study.config.get("sample_pruning", {}).get("pruners", [])]
        if self.visualising():
            chosen.append(self.visualising())
        return list(dict.fromkeys(filter(None, map(self.searched, chosen))))

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
            for base in pruned_for(self.study.config)
        }
        return {name: pair for name, pair in found.items() if name in runs}

    def summary(self) -> Settings:
        """Holding explanations on pruned copies against those on the network."""
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
            "explainers": [n for n in pruned_for(self.study.config) if n in network.explainers],
            "sample_pruners": list(self.study.config["sample_pruning"]["pruners"]),
            "metrics": self._tables.metric_facts(),
            "confidence": self.study.config["statistics"]["confidence"],
        }

    def visualising(self) -> str:
        """The sample pruner on whose copies classes are visualised; empty where none are."""
        return str(visualised(self.study.config).get("sample_pruner", ""))

    def visualised(self) -> list[Network]:
        """The networks of which classes are visualised."""
        return visualised_networks(self.study)

    def visualise(self, dataset: str) -> Settings:
        """Making pictures of the classes that stickers stand for."""
        chosen = visualised(self.study.config)
        return {
            "stickers": visualised_stickers(self.study, dataset),
            "visualised": {key: chosen[key] for key in ("method", "steps", "crops", "seed")},
            "sample_pruner": self._pruning(self.visualising()),
            "threads": self.study.config["torch_threads"],
        }

    def visualise_items(self, model: str) -> list[Item]:
        """The solver and the architecture."""
        return [*self._solver_items(self.visualising()), *self._rules.network_items(model)]

    def sheet(self, dataset: str, model: str) -> Settings:
        """A sheet of these pictures."""
        return {"dataset": dataset, "model": model}

    def draws_toy(self) -> bool:
        """Whether the toy of two regions is pruned and drawn."""
        return bool(self.study.config.get("sample_pruning", {}).get("toy", False))

    def toy(self) -> Settings:
        """Pruning the toy."""
        return {"threads": self.study.config["torch_threads"]}
