"""For the rules about concepts: the configuration values and modules that their jobs use."""

from typing import Any

from sparsight.concepts.registry import CONCEPTS
from sparsight.registration import Item
from sparsight.study.concept_plan import ConceptPlan
from sparsight.study.plan import Place, Study
from sparsight.study.settings import RuleSettings

Settings = dict[str, Any]


class ConceptSettings:
    """The `settings` and the registered `items` of every rule about concepts."""

    def __init__(self, study: Study) -> None:
        self.study = study
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
