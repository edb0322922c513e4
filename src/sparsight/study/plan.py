"""What a configuration means: checkpoints, families, sizes. Nothing heavy is imported."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

from sparsight.explain.registry import EXPLAINERS
from sparsight.metrics.registry import METRICS
from sparsight.models.registry import MODELS
from sparsight.study.phrases import listed
from sparsight.study.spread import evenly_spread

Config = Mapping[str, Any]

#: owner of level 00, shared by all pruners
DENSE = "dense"
#: names that folders of the result tree have
RESERVED = frozenset(
    {"summary", "figures", "reference", "start", "dense", "explanations", "benchmarks", "logs"}
)


def metric_facts(method: str) -> dict[str, Any]:
    """Facts of a metric's method, a foreign one included, without importing its library."""
    facts = METRICS.facts(method)
    foreign = facts.get("foreign_facts", {}).get(method.partition(".")[2])
    if foreign is not None:
        facts.update(zip(("category", "direction", "needs"), foreign, strict=True))
    return {"direction": "", "unit": "", "needs": (), **facts}


@dataclass(frozen=True)
class Network:
    """A model on a data set, with its seeds and all that it is put through."""

    dataset: str
    model: str
    seeds: tuple[int, ...]
    pruners: tuple[str, ...]
    explainers: tuple[str, ...]
    concepts: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()


@dataclass(frozen=True, order=True)
class Place:
    """One checkpoint of a study."""

    dataset: str
    model: str
    seed: int
    pruner: str
    level: int


class Study:
    """A validated configuration, asked for what the workflow and the report need.

    Parameters
    ----------
    config : as `configuration.checked` leaves it.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        self.name: str = config["study"]
        # Asked for by every job's inputs and params, and always answered alike.
        self._families: dict[Network | None, dict[str, list[str]]] = {}
        self._looking: dict[str, bool] = {}
        self.catalogue: Config = config["catalogue"]

    def level_count(self, pruner: str) -> int:
        """Rounds of a pruner; level 00 is not counted."""
        facts = self.catalogue["pruners"][pruner]
        return len(facts["densities"]) if "densities" in facts else int(facts["levels"])

    def predecessor(self, pruner: str, level: int) -> int:
        """The level that a level is pruned from; 0 is dense."""
        one_shot = self.catalogue["pruners"][pruner]["one_shot"]
        return 0 if one_shot else level - 1

    @cached_property
    def _networks(self) -> list[Network]:
        config = self.config
        given = config.get("networks") or [
            {"dataset": dataset, "model": model}
            for dataset in config["datasets"]
            for model in config["models"]
        ]
        parts = ("seeds", "pruners", "explainers", "concepts", "metrics")
        return [
            Network(
                n["dataset"], n["model"], *(tuple(n.get(x) or config.get(x, [])) for x in parts)
            )
            for n in given
        ]

    def initial_weights(self, model: str) -> str:
        """What a model starts with: `random`, `imagenet`, or a path."""
        return str(self.catalogue["models"][model].get("initial_weights", "random"))

    def imagenet_weights(self, model: str) -> str:
        """File name of the ImageNet weights that a model starts with; empty where it does not."""
        if self.initial_weights(model) != "imagenet":
            return ""
        architecture = self.catalogue["models"][model]["architecture"]
        return str(MODELS.facts(architecture)["imagenet_weights"])

    def pretraining_dataset(self, model: str) -> str | None:
        """The data set on which a model is trained before it meets the study's own."""
        return cast("str | None", self.catalogue["models"][model].get("pretraining_dataset"))

    def prepared_datasets(self) -> list[str]:
        """The data sets of the study, those on which its models are trained before, and banks."""
        others = [self.pretraining_dataset(model) for model in self.config["models"]]
        banks = [self.concept_bank(dataset) for dataset in self.config["datasets"]]
        return list(dict.fromkeys([*self.config["datasets"], *filter(None, others), *banks]))

    def conditions(self, dataset: str) -> list[str]:
        """Versions of a data set's images that are explained: without noise, all are `clean`."""
        asked: list[str] = self.config["explaining"].get("conditions", ["clean"])
        noise = self.catalogue["datasets"][dataset].get("noise", {})
        return asked if noise.get("maximum") else ["clean"]

    def conditions_sentence(self) -> str:
        """Which data sets have no noise though noisy images are asked for; empty without any."""
        asked = self.config["explaining"].get("conditions", ["clean"])
        names = [name for name in self.config["datasets"] if self.conditions(name) != asked]
        if not names:
            return ""
        return f"Images of {', '.join(names)} have no noise (noise.maximum is 0): all are clean."

    def concept_bank(self, dataset: str) -> str:
        """The data set whose concept labels are used for a data set."""
        return str(self.config.get("concept_bank", {}).get(dataset, dataset))

    def networks(self) -> list[Network]:
        """The configuration's `networks`, or every data set with every model and all else."""
        return list(self._networks)

    def network(self, dataset: str, model: str) -> Network:
        """The network of a data set and a model."""
        return next(n for n in self._networks if (n.dataset, n.model) == (dataset, model))

    def places(self) -> Iterator[Place]:
        """All checkpoints: dense once for each network, then each pruner's levels."""
        for network in self.networks():
            for seed in network.seeds:
                yield Place(network.dataset, network.model, seed, DENSE, 0)
                for pruner in network.pruners:
                    for level in range(1, self.level_count(pruner) + 1):
                        yield Place(network.dataset, network.model, seed, pruner, level)

    def chains(self) -> Iterator[Place]:
        """Every network's pruners, each as the place of its last level."""
        for network in self.networks():
            for seed in network.seeds:
                for pruner in network.pruners:
                    last = self.level_count(pruner)
                    yield Place(network.dataset, network.model, seed, pruner, last)

    def chain(self, end: Place) -> list[Place]:
        """The checkpoints of a chain, level 00 (dense) first."""
        network = (end.dataset, end.model, end.seed)
        pruned = [Place(*network, end.pruner, level) for level in range(1, end.level + 1)]
        return [Place(*network, DENSE, 0), *pruned]

    def is_retraining(self, pruner: str) -> bool:
        """Whether a pruner removes nothing: its levels are further dense networks."""
        return bool(self.catalogue["pruners"][pruner].get("rate") == 0)

    def retraining_pruners(self, network: Network | None = None) -> list[str]:
        """The pruners, of a network or of all, that give the retrain floor."""
        pruners = network.pruners if network else self.config["pruners"]
        return [pruner for pruner in pruners if self.is_retraining(pruner)]

    def pruning_pruners(self, network: Network | None = None) -> list[str]:
        """The pruners, of a network or of all, whose levels make a curve."""
        pruners = network.pruners if network else self.config["pruners"]
        return [pruner for pruner in pruners if not self.is_retraining(pruner)]

    def families(self, network: Network | None = None) -> dict[str, list[str]]:
        """Family to its explainers, of a network or of all, in the order of the configuration."""
        if network not in self._families:
            found: dict[str, list[str]] = {}
            for name in self.config["explainers"]:
                if network is None or name in network.explainers:
                    found.setdefault(self.catalogue["explainers"][name]["family"], []).append(name)
            self._families[network] = found
        return self._families[network]

    def needs_network(self, explainer: str) -> bool:
        """Whether an explainer looks at the network; if not, it runs once per data set."""
        if explainer not in self._looking:
            method = self.catalogue["explainers"][explainer]["method"]
            self._looking[explainer] = bool(EXPLAINERS.facts(method).get("needs_network", True))
        return self._looking[explainer]

    def controls(self) -> list[str]:
        """The explainers that run as controls; some of them need the network."""
        facts = {
            name: EXPLAINERS.facts(self.catalogue["explainers"][name]["method"])
            for name in self.config["explainers"]
        }
        return [n for n, f in facts.items() if f.get("control") or not f.get("needs_network", True)]

    def network_families(self) -> list[str]:
        """Families that are explained for every checkpoint."""
        return [f for f, names in self.families().items() if self.needs_network(names[0])]

    def network_free_families(self) -> list[str]:
        """Families that are explained once per data set."""
        return [f for f, names in self.families().items() if not self.needs_network(names[0])]

    def sample_pruner(self, family: str) -> str:
        """The sample pruner on whose copies a family runs; empty where it runs on the network."""
        name = self.families()[family][0]
        return str(self.catalogue["explainers"][name].get("sample_pruner", ""))

    def sample_families(self) -> list[str]:
        """Families that run on copies of the network, pruned for each image."""
        return [family for family in self.families() if self.sample_pruner(family)]

    def families_on_networks(self) -> list[str]:
        """Families that are explained for every checkpoint, on the network itself."""
        return [family for family in self.network_families() if not self.sample_pruner(family)]

    def agreement_families(self) -> list[str]:
        """Families whose maps are compared between networks.

        They explain one fixed class, and the dense networks too. Maps of pruned copies are held
        against those of the network itself, not against those of other networks.
        """
        if not self.config.get("agreement"):
            return []
        fixed = ("true", "dense_predicted")
        return [
            family
            for family in self.network_families()
            if self.explaining(family)["target"] in fixed
            and self.explains(family, DENSE, 0)
            and not self.sample_pruner(family)
        ]

    def agreement_sentence(self) -> str:
        """Which families are compared between networks and which not, for the log."""
        compared = self.agreement_families()
        others = [
            family
            for family in self.network_families()
            if family not in compared and not self.sample_pruner(family)
        ]
        text = f"Agreement will be measured for {listed(compared) or 'no family'}"
        if not others:
            return f"{text}."
        return (
            f"{text}, not for {listed(others)}: that takes explanations of one fixed class "
            "(target true or dense_predicted), of the dense networks too (level 0)."
        )

    def references(self, place: Place) -> list[Place]:
        """The checkpoints that a checkpoint's explanations are compared with.

        A pruned or retrained network is held against its dense parent, a dense network against
        those of all other seeds.
        """
        own = self.network(place.dataset, place.model).seeds
        seeds = [place.seed] if place.pruner != DENSE else own
        found = [Place(place.dataset, place.model, seed, DENSE, 0) for seed in seeds]
        return [reference for reference in found if reference != place]

    def explaining(self, family: str) -> dict[str, Any]:
        """How a family is explained: `explaining`, with the family's exceptions."""
        exceptions = self.config.get("families", {}).get(family, {})
        return {**self.config["explaining"], **exceptions}

    def explains(self, family: str, pruner: str, level: int) -> bool:
        """Whether a family is explained at a level; retrained networks always are."""
        return self._takes_in(self.explaining(family).get("levels", "all"), pruner, level)

    def explained_levels(self, network: Network) -> int:
        """At most so many levels, dense included, of a pruner of a network are explained."""
        families = self.families(network)
        explained = [
            {n for n in range(self.level_count(p) + 1) for f in families if self.explains(f, p, n)}
            for p in self.pruning_pruners(network)
        ]
        return max(map(len, explained), default=0)

    def finds_concepts(self, pruner: str, level: int) -> bool:
        """Whether concepts are found at a level; in retrained networks they always are."""
        levels = self.config.get("concept_analysis", {}).get("levels", "all")
        return self._takes_in(levels, pruner, level)

    def _takes_in(self, levels: Any, pruner: str, level: int) -> bool:
        """Whether a choice of levels (all, a list, or how many) holds a level of a pruner."""
        if levels == "all" or (pruner != DENSE and self.is_retraining(pruner)):
            return True
        if isinstance(levels, int):
            last = 0 if pruner == DENSE else self.level_count(pruner)
            levels = evenly_spread(levels, last)
        return level in levels

    def sheet_levels(self, pruner: str) -> list[int]:
        """Levels of a pruner in its sheet of heatmaps, evenly spread unless they are listed."""
        wanted, last = self.config["figures"]["sheet_levels"], self.level_count(pruner)
        if isinstance(wanted, int):
            wanted = evenly_spread(wanted, last)
        families = self.network_families()
        shown = {x for x in wanted if any(self.explains(f, pruner, x) for f in families)}
        return sorted(level for level in shown if level <= last)
