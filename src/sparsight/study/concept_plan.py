"""What a configuration says of concepts: methods, banks, checkpoints, comparisons, sheets."""

from typing import Any

from sparsight.analysis.claims.registry import CLAIMS
from sparsight.concepts.registry import CONCEPTS
from sparsight.study.plan import DENSE, Network, Place, Study


class ConceptPlan:
    """The concept half of a study.

    Parameters
    ----------
    study : of a validated configuration.
    """

    def __init__(self, study: Study) -> None:
        self.study = study

    def names(self, network: Network | None = None) -> list[str]:
        """Configured concept methods, of a network or of all, in the order of the configuration."""
        chosen = self.study.config.get("concepts", [])
        return [name for name in chosen if network is None or name in network.concepts]

    def entry(self, name: str) -> dict[str, Any]:
        """The catalogue's entry of a configured concept method."""
        return dict(self.study.catalogue["concepts"][name])

    def facts(self, name: str) -> dict[str, Any]:
        """Facts of a configured concept method, without importing it."""
        return CONCEPTS.facts(self.entry(name)["method"])

    def places(self) -> list[tuple[Place, str]]:
        """Every checkpoint with each method that finds concepts in it."""
        return [
            (place, name)
            for place in self.study.places()
            if self.study.finds_concepts(place.pruner, place.level)
            for name in self.names(self.study.network(place.dataset, place.model))
        ]

    def is_compared(self, place: Place, name: str) -> bool:
        """Whether a checkpoint's concepts are held against those of other networks."""
        return bool(self.facts(name)["comparisons"] and self.study.references(place))

    def sheets(self, network: Network) -> list[str]:
        """A network's methods whose concepts are drawn as a sheet."""
        return [name for name in self.names(network) if self.facts(name)["sheet"]]

    def sheet_place(self, dataset: str, model: str, pruner: str) -> Place:
        """The pruned checkpoint in a sheet, of the first seed.

        At the level that `figures.concept_sheet_level` names, or the last one before it that is
        looked at.
        """
        level = max(self._sheet_levels(pruner))
        return Place(dataset, model, self.study.network(dataset, model).seeds[0], pruner, level)

    def sheet_pruners(self, network: Network) -> list[str]:
        """A network's pruners that a sheet can show a level of."""
        return [p for p in self.study.pruning_pruners(network) if self._sheet_levels(p)]

    def _sheet_levels(self, pruner: str) -> list[int]:
        wanted = self.study.config["figures"]["concept_sheet_level"]
        last = self.study.level_count(pruner)
        levels = range(1, (last if wanted == "last" else min(wanted, last)) + 1)
        return [level for level in levels if self.study.finds_concepts(pruner, level)]

    def claimed(self) -> bool:
        """Whether a claim of the study is about concepts."""
        return any("concept" in claim for claim in self.study.config.get("claims", []))

    def claimed_orders(self) -> bool:
        """Whether a claim of the study is about the order of concepts."""
        claims = self.study.config.get("claims", [])
        return any(CLAIMS.facts(claim["test"])["orders"] for claim in claims)

    def dense(self, place: Place) -> Place:
        """The dense network of a checkpoint's seed."""
        return Place(place.dataset, place.model, place.seed, DENSE, 0)
