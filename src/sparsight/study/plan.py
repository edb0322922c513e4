"""What a configuration means: checkpoints, families, sizes. Nothing heavy is imported."""

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

from sparsight.analysis.claims.registry import CLAIMS
from sparsight.concepts.registry import CONCEPTS
from sparsight.data.registry import SOURCES
from sparsight.data.settings import image_shape, stated_test_images
from sparsight.explain.registry import EXPLAINERS
from sparsight.io.errors import InputError, join_names
from sparsight.metrics.registry import METRICS
from sparsight.models.registry import MODELS
from sparsight.pruning.registry import ITERATIVE
from sparsight.spade.registry import derived_name
from sparsight.study.traced import Request, facts_of


def spread_evenly(count: int, last: int) -> list[int]:
    """`count` (2 or more) levels from 0 to `last`; some of them equal where there are fewer."""
    # halves go up: round() would take them to the even neighbour
    return [(2 * i * last + count - 1) // (2 * (count - 1)) for i in range(count)]


Config = Mapping[str, Any]
#: lists of names from the catalogue
CHOICES = ("datasets", "models", "pruners", "explainers", "metrics", "agreement", "concepts")
#: what `initial_weights` can be, other than a path
WORDS = ("random", "imagenet")
#: what is replaced in the paths of files of weights; {level:02} is a level of two digits
_PLACEHOLDER = re.compile(r"\{(seed|level)(?::0([1-9]))?\}")
#: names of OpenLTH's files of weights, next to which the masks are
_OPENLTH = re.compile(r"model_ep\d+_it\d+\.pth")
#: what an explainer's entry can say of how it is explained
EXPLAINED = ("images", "levels", "target")
#: source of the data sets that have a base
TROJANED = "trojaned"
#: owner of level 00, shared by all pruners
DENSE = "dense"
#: names that folders of the result tree have
RESERVED = frozenset(
    {"summary", "figures", "reference", "start", "dense", "explanations", "benchmarks", "logs"}
)


def fill_path(path: str, **numbers: int) -> str:
    """A path with its placeholders replaced; those that are not among `numbers` stay."""

    def number(match: re.Match[str]) -> str:
        value = numbers.get(match[1])
        return match[0] if value is None else f"{value:0{match[2] or 1}d}"

    return _PLACEHOLDER.sub(number, path)


def metric_facts(method: str) -> dict[str, Any]:
    """Facts of a metric's method, a foreign one included, without importing its library."""
    facts = METRICS.facts(method)
    foreign = facts.get("foreign_facts", {}).get(method.partition(".")[2])
    if foreign is not None:
        facts.update(zip(("category", "direction", "needs"), foreign, strict=True))
    return {"direction": "", "unit": "", "needs": (), **facts}


def metric_range(method: str) -> tuple[float, float] | None:
    """Least and largest value of a metric, as its unit states them; None where it does not.

    A curve is summed up in another way than its unit says.
    """
    facts = metric_facts(method)
    found = re.search(r", (-?[\d.]+) to (-?[\d.]+)$", facts["unit"].partition(";")[0])
    if found is None or facts.get("reducer"):
        return None
    return float(found[1]), float(found[2])


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
    """A configuration, as `resolve` gives it, asked for what the workflow and the report need."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.name: str = config["study"]
        # Asked for by every job's inputs and params, and always answered alike.
        self._families: dict[Network | None, dict[str, list[str]]] = {}
        self._looking: dict[str, bool] = {}
        self.requests: dict[tuple[str, str, tuple[str, ...]], Request | None] = {}
        self.catalogue: Config = config["catalogue"]

    @property
    def looks(self) -> list[int]:
        """Networks at each look; empty where seeds do not come by looks."""
        return list(self.config.get("looks", {}).get("networks", []))

    @property
    def look(self) -> int:
        """The look that the study is at, from 1 on; 0 where seeds do not come by looks."""
        return int(self.config.get("looks", {}).get("at", 0))

    def level_count(self, pruner: str) -> int:
        """Rounds of a pruner; level 00 is not counted."""
        facts = self.catalogue["pruners"][pruner]
        listed = facts.get("densities", facts.get("given"))
        if isinstance(listed, list):
            return len(listed)
        return int(facts["levels"]) if "levels" in facts else len(facts["bits"])

    def is_given(self, pruner: str) -> bool:
        """Whether another tool has made a pruner's levels."""
        return "given" in self.catalogue["pruners"][pruner]

    def given_files(self, pruner: str, level: int, seed: int) -> list[str]:
        """The file of a level that another tool has made, and that of its masks (OpenLTH)."""
        given = self.catalogue["pruners"][pruner]["given"]
        path = given if isinstance(given, str) else given[level - 1]
        path = fill_path(path, level=level, seed=seed)
        folder, slash, name = path.rpartition("/")
        return [path, f"{folder}{slash}mask.pth"] if _OPENLTH.fullmatch(name) else [path]

    def predecessor(self, pruner: str, level: int) -> int:
        """The level that a level is pruned from; 0 is dense."""
        schedule = self.catalogue["pruners"][pruner]["schedule"]
        return level - 1 if schedule == ITERATIVE else 0

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

    def initial_weights(self, model: str, seed: int | None = None) -> str:
        """What a model starts with: `random`, `imagenet`, or a path, that of a seed where given."""
        found = str(self.catalogue["models"][model].get("initial_weights", "random"))
        return found if seed is None else fill_path(found, seed=seed)

    def is_untrained(self, model: str) -> bool:
        """Whether dense networks are those of files, and nothing here trains them."""
        entry = self.catalogue["models"][model]
        before = entry.get("pretraining") or entry.get("training")
        trained = before or entry["retraining"]["epochs"]
        return self.initial_weights(model) not in WORDS and not trained

    def imagenet_weights(self, model: str) -> str:
        """File name of the ImageNet weights that a model starts with; empty where it does not."""
        if self.initial_weights(model) != "imagenet":
            return ""
        dataset = next(n.dataset for n in self._networks if n.model == model)
        return str(architecture_facts(self, dataset, model)["imagenet_weights"])

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
        for place in self.places():
            if place.pruner != DENSE and place.level == self.level_count(place.pruner):
                yield place

    def chain(self, end: Place) -> list[Place]:
        """The checkpoints of a chain, level 00 (dense) first."""
        network = (end.dataset, end.model, end.seed)
        pruned = [Place(*network, end.pruner, level) for level in range(1, end.level + 1)]
        return [Place(*network, DENSE, 0), *pruned]

    def is_retraining(self, pruner: str) -> bool:
        """Whether a pruner neither removes nor rounds: its levels are further dense networks."""
        entry = self.catalogue["pruners"][pruner]
        return bool(entry.get("rate") == 0 and "bits" not in entry)

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
        return [name for name in self.config["explainers"] if not prunes_for(self.config, name)]

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

        They explain one fixed class, and the dense networks too. Maps of pruned copies are compared
        with those of the network itself, not with those of other networks.
        """
        if not self.config.get("agreement"):
            return []
        return [
            family
            for family in self.families_on_networks()
            if self.explaining(family)["target"] in ("true", "dense_predicted")
            and self.explains(family, DENSE, 0)
        ]

    def agreement_sentence(self) -> str:
        """Which families are compared between networks and which not, for the log."""
        compared = self.agreement_families()
        others = [family for family in self.families_on_networks() if family not in compared]
        text = f"Agreement will be measured for {join_names(compared) or 'no family'}"
        if not others:
            return f"{text}."
        return (
            f"{text}, not for {join_names(others)}: that takes explanations of one fixed class "
            "(target true or dense_predicted), of the dense networks too (level 0)."
        )

    def references(self, place: Place) -> list[Place]:
        """The checkpoints that a checkpoint's explanations are compared with.

        A pruned or retrained network is compared with its dense parent, a dense network with
        those of all other seeds. Where seeds come by looks, only those of the first look are
        compared with each other: a network that is added later changes nothing of theirs.
        """
        own = self.network(place.dataset, place.model).seeds
        if self.looks:
            own = own[: self.looks[0]]
        seeds = [place.seed] if place.pruner != DENSE else own if place.seed in own else ()
        found = [Place(place.dataset, place.model, seed, DENSE, 0) for seed in seeds]
        return [reference for reference in found if reference != place]

    def explaining(self, family: str) -> dict[str, Any]:
        """How a family is explained: `explaining`, unless the family or its explainers differ."""
        found = {**self.config["explaining"], **self.config.get("families", {}).get(family, {})}
        for name in self.families().get(family, []):
            entry = self.catalogue["explainers"][name]
            found |= {key: entry[key] for key in EXPLAINED if key in entry}
        return found

    def explains(self, family: str, pruner: str, level: int) -> bool:
        """Whether a family is explained at a level; retrained networks always are."""
        return self._takes_in(self.explaining(family).get("levels", "all"), pruner, level)

    def explained_places(self) -> list[tuple[Place, str]]:
        """Every checkpoint with each family that explains it, controls left out."""
        looking = self.network_families()
        return [
            (place, family)
            for place in self.places()
            for family in self.families(self.network(place.dataset, place.model))
            if family in looking and self.explains(family, place.pruner, place.level)
        ]

    def controlled_datasets(self) -> list[tuple[str, str]]:
        """Every explained data set with each family of controls that need no network."""
        named = {
            (network.dataset, family)
            for network in self.networks()
            for family in self.families(network)
            if family in self.network_free_families()
        }
        return sorted(named)

    def curve_levels(self, family: str, pruner: str) -> list[int]:
        """The pruned levels of a pruner at which a family is explained."""
        levels = range(1, self.level_count(pruner) + 1)
        return [level for level in levels if self.explains(family, pruner, level)]

    def compares_pruners(self, network: Network) -> bool:
        """Whether agreement can be read off between levels of two pruners, at equal accuracy."""
        families = [name for name in self.agreement_families() if name in self.families(network)]
        curves = [
            pruner
            for pruner in self.pruning_pruners(network)
            if any(len(self.curve_levels(family, pruner)) > 1 for family in families)
        ]
        return len(curves) > 1

    def floors(self) -> dict[str, list[str]]:
        """Each pruner that prunes, to those that only retrain, in the way in which it does."""
        entries = self.catalogue["pruners"]

        def retrains(pruner: str) -> tuple[Any, Any]:
            return entries[pruner].get("rewind", "none"), entries[pruner].get("teacher")

        return {
            pruner: [f for f in self.retraining_pruners() if retrains(f) == retrains(pruner)]
            for pruner in self.pruning_pruners()
        }

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
            levels = spread_evenly(levels, last)
        return level in levels

    def sheet_levels(self, pruner: str) -> list[int]:
        """Levels of a pruner in its sheet of heatmaps, evenly spread unless they are listed."""
        wanted, last = self.config["figures"]["sheet_levels"], self.level_count(pruner)
        if isinstance(wanted, int):
            wanted = spread_evenly(wanted, last)
        families = self.network_families()
        shown = {x for x in wanted if any(self.explains(f, pruner, x) for f in families)}
        return sorted(level for level in shown if level <= last)


# ----------------------------------------------------------------------------------------- concepts


class ConceptPlan:
    """The concept half of a study."""

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
        """Whether a checkpoint's concepts are compared with those of other networks."""
        return bool(self.facts(name)["comparisons"] and self.study.references(place))

    def sheets(self, network: Network) -> list[str]:
        """A network's methods whose concepts are drawn as a sheet."""
        return [name for name in self.names(network) if self.facts(name)["sheet"]]

    def drawn(self) -> list[tuple[Place, str]]:
        """Every checkpoint with each method whose concepts can be drawn."""
        return [(place, name) for place, name in self.places() if self.facts(name)["sheet"]]

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

    def has_concept_claims(self) -> bool:
        """Whether a claim of the study is about concepts."""
        return any("concept" in claim for claim in self.study.config.get("claims", []))

    def has_order_claims(self) -> bool:
        """Whether a claim of the study is about the order of concepts."""
        claims = self.study.config.get("claims", [])
        return any(CLAIMS.facts(claim["test"])["orders"] for claim in claims)


# --------------------------------------------------------------------------------- images and bytes

_FLOAT_BYTES = 4


def _source_fact(study: Study, dataset: str, fact: str, method: str) -> Any:
    """A fact of a data set's source; where options decide it, what the source's method says."""
    entry = study.catalogue["datasets"][dataset]
    facts, options = SOURCES.facts(entry["source"]), entry.get("options", {})
    if fact in facts.get("varying", ()):
        return getattr(SOURCES.load(entry["source"]), method)(options)
    if fact == "test_images":
        return stated_test_images(facts, options)
    return image_shape(facts, options) if fact == "image_shape" else facts.get(fact)


def available_images(study: Study, dataset: str) -> int:
    """Images of a data set's test split."""
    return int(_source_fact(study, dataset, "test_images", "tested_of"))


def has_masks(study: Study, dataset: str) -> bool:
    """Whether a data set's images have masks under its options."""
    return bool(_source_fact(study, dataset, "has_masks", "masks_of"))


def has_parts(study: Study, dataset: str) -> bool:
    """Whether parts of a data set's objects have masks under its options."""
    return bool(_source_fact(study, dataset, "part_names", "parts_of"))


def has_concepts(study: Study, dataset: str) -> bool:
    """Whether a data set's images have concepts under its options."""
    return bool(_source_fact(study, dataset, "concept_names", "has_concepts"))


def shape_of_images(study: Study, dataset: str) -> tuple[int, int, int]:
    """(C, H, W) of a data set's images."""
    channels, height, width = _source_fact(study, dataset, "image_shape", "shape")
    return channels, height, width


def class_names(study: Study, dataset: str) -> list[str]:
    """Names of a data set's classes; empty where only the original files tell them."""
    from sparsight.data.base import Source  # late: the start of a study imports nothing heavy

    entry = study.catalogue["datasets"][dataset]
    source = SOURCES.load(entry["source"])
    stated = any(
        getattr(source, way).__func__ is not getattr(Source, way).__func__
        for way in ("class_names", "classes_of")
    )
    if not stated and source.describe is not Source.describe:
        return []
    return list(source.classes_of(entry.get("options", {})))


def concept_names(study: Study, dataset: str) -> list[str]:
    """Names of a data set's concepts; empty where only the original files tell them."""
    entry = study.catalogue["datasets"][dataset]
    return list(SOURCES.load(entry["source"]).concepts_of(entry.get("options", {})))


def class_count(study: Study, dataset: str) -> int:
    """Number of a data set's classes."""
    source = study.catalogue["datasets"][dataset]["source"]
    return len(class_names(study, dataset)) or int(SOURCES.facts(source)["class_count"])


def trace_request(
    study: Study, dataset: str, model: str, explainers: Iterable[str] = ()
) -> Request | None:
    """What is asked of a model's architecture for a data set; None where it is the project's own.

    `explainers` are those that its networks are explained with.
    """
    entry = study.catalogue["models"][model]
    if not MODELS.is_foreign(entry["architecture"]):
        return None
    entries = [study.catalogue["explainers"][name] for name in explainers]
    return Request(
        entry["architecture"],
        entry.get("options", {}),
        shape_of_images(study, dataset),
        class_count(study, dataset),
        [{"method": one["method"], "parameters": one.get("parameters", {})} for one in entries],
    )


def architecture_facts(
    study: Study, dataset: str, model: str, explainers: Iterable[str] = ()
) -> dict[str, Any]:
    """Facts of a model's architecture: literals, or what tracing found for the data set's images.

    See `traced.facts_of` for what the latter are; only they tell of `explainers`.
    """
    key = (dataset, model, tuple(explainers))
    if key not in study.requests:
        study.requests[key] = trace_request(study, dataset, model, explainers)
    if (request := study.requests[key]) is None:
        return MODELS.facts(study.catalogue["models"][model]["architecture"])
    return facts_of(request)


def layer_names(facts: Mapping[str, Any]) -> list[str]:
    """Modules of an architecture that an explainer may name, in the order of the forward pass."""
    return list(facts.get("layers") or facts.get("layer_windows") or _layer_strides(facts))


def _layer_strides(facts: Mapping[str, Any]) -> dict[str, int]:
    """The fact `layer_strides` by single names."""
    strides = facts.get("layer_strides", {}).items()
    return {name: stride for names, stride in strides for name in names.split()}


def layer_size(
    facts: Mapping[str, Any], options: Mapping[str, Any], shape: tuple[int, int, int], layer: str
) -> tuple[int, int]:
    """Height and width of a layer's output.

    Parameters
    ----------
    facts : of the architecture: either `layers`, whose sizes are fixed, or `layer_windows`, or
        `layer_strides` and, where it has an option `stem`, `stem_strides`.
    options : of the architecture; those left out have their defaults.
    shape : (C, H, W) of the images.
    layer : one of `layer_names(facts)`.
    """
    if facts.get("layers"):
        height, width = facts["layers"][layer]
        return int(height), int(width)
    if facts.get("layer_windows"):
        height, width = shape[1:]
        for name, (kernel, stride, padding) in facts["layer_windows"].items():
            height = (height + 2 * padding - kernel) // stride + 1
            width = (width + 2 * padding - kernel) // stride + 1
            if name == layer:
                break
        return height, width
    stem: Mapping[str, int] = {}
    if facts.get("stem_strides"):
        stem = facts["stem_strides"][{**facts["option_defaults"], **options}["stem"]]
    # layers of the stem have strides of their own, all others a stride counted after the stem
    stride = stem[layer] if layer in stem else _layer_strides(facts)[layer] * stem.get("", 1)
    return -(-shape[1] // stride), -(-shape[2] // stride)


def map_size(study: Study, explainer: str, network: Network) -> tuple[int, int]:
    """(height, width) of an explainer's stored maps of a network."""
    shape = shape_of_images(study, network.dataset)
    entry = study.catalogue["explainers"][explainer]
    model = study.catalogue["models"][network.model]
    facts = architecture_facts(study, network.dataset, network.model)
    given = entry.get("parameters", {}).get("layer")
    layer = given or facts["explain_layer"]
    # Maps of other libraries over several layers come at image size.
    several = EXPLAINERS.is_foreign(entry["method"]) and not given
    at_layer = EXPLAINERS.facts(entry["method"]).get("native") == "layer" and not several
    if at_layer and layer in layer_names(facts):
        return layer_size(facts, model.get("options", {}), shape, layer)
    return shape[1:]


def stored_bytes(study: Study) -> int:
    """Predicted size of all stored explanations."""
    whole = 0
    for network in study.networks():
        own = [
            p for p in study.places() if (p.dataset, p.model) == (network.dataset, network.model)
        ]
        for family, names in study.families(network).items():
            files = sum(study.explains(family, place.pruner, place.level) for place in own)
            if family in study.network_free_families():
                # once per data set: counted with its first network
                files = network == next(n for n in study.networks() if n.dataset == network.dataset)
            wanted = study.explaining(family)["images"]
            images = available_images(study, network.dataset) if wanted == "all" else int(wanted)
            pixels = sum(math.prod(map_size(study, name, network)) for name in names)
            conditions = len(study.conditions(network.dataset))
            whole += files * images * conditions * pixels * _FLOAT_BYTES
    return whole


def check_disk_budget(study: Study) -> None:
    """Refuse a study whose explanations would need more than `disk_budget_gb`."""
    budget, predicted = study.config["disk_budget_gb"], stored_bytes(study) / 1e9
    if predicted > budget:
        raise InputError(
            f"the stored explanations would take {predicted:.2f} GB, more than disk_budget_gb "
            f"({budget}); raise it, or explain fewer images or levels (explaining.images)"
        )


# ------------------------------------------------------------------------------- visualised classes


def visualisation(config: Mapping[str, Any]) -> dict[str, Any]:
    """The part `sample_pruning.visualised`; empty where nothing is visualised."""
    found = dict(config.get("sample_pruning", {}).get("visualised", {}))
    return found if found.get("classes") else {}


def stickers_of(study: Study, dataset: str) -> dict[str, tuple[int, str]]:
    """Each sticker of a data set with the number and the name of its class; none, no trojan."""
    entry = study.catalogue["datasets"][dataset]
    if entry["source"] != TROJANED:
        return {}
    from sparsight.data.sources.trojaned import trojan_of  # late: the start of a study is light

    options = entry.get("options", {})
    classes = SOURCES.load(TROJANED).classes_of(options)
    trojan = trojan_of(options, classes, min(shape_of_images(study, dataset)[1:]))
    return {sticker: (label, classes[label]) for sticker, label in trojan.targets.items()}


def visualised_stickers(study: Study, dataset: str) -> list[str]:
    """The stickers of a data set whose classes are visualised, in the order of the data set."""
    chosen = visualisation(study.config).get("classes", [])
    stickers = stickers_of(study, dataset) if chosen else {}
    if isinstance(chosen, list):
        return [name for name, facts in stickers.items() if set(facts) & set(chosen)]
    return list(stickers)[: None if chosen == "all" else chosen]


# -------------------------------------------------------------------------- sample-targeted pruning

# Explainers on copies that are pruned for each image (`spade_fast__saliency` in the family
# `spade_fast__gradient`) are explainers like others to all that scores, compares and draws.

#: what `sample_pruning` says of the families that it makes
_EXPLAINING = ("images", "levels", "batch_size")


def unpruned_family(sample_pruner: str, family: str) -> str:
    """The family of the same explainers on the network itself."""
    return family.removeprefix(derived_name(sample_pruner, ""))


def searches(entry: Mapping[str, Any]) -> bool:
    """Whether a sample pruner's sparsities are searched for on calibration images."""
    return "search" in entry["sparsities"]


def sparsities_from(catalogue: Config, sample_pruner: str) -> str:
    """The sample pruner whose sparsities a sample pruner takes: itself, unless it says `as`."""
    entry = catalogue["sample_pruners"][sample_pruner]
    return str(entry["sparsities"].get("as", sample_pruner))


def prunes_for(config: Config, explainer: str) -> bool:
    """Whether an explainer looks at the network and is no control, so that a copy can be pruned."""
    facts = EXPLAINERS.facts(config["catalogue"]["explainers"][explainer]["method"])
    return bool(facts.get("needs_network", True)) and not facts.get("control", False)


def explainers_for_copies(config: Config) -> list[str]:
    """The explainers that also run on pruned copies, in the order of the configuration."""
    chosen = config.get("sample_pruning", {})
    if not chosen.get("pruners"):
        return []
    named = chosen.get("explainers", "all")
    entries = config["catalogue"]["explainers"]
    return [
        name
        for name in config["explainers"]
        # Those that were made so before are no explainers to make others of.
        if "sample_pruner" not in entries[name]
        and (prunes_for(config, name) if named == "all" else name in named)
    ]


def with_pruned_samples(config: Config) -> dict[str, Any]:
    """A copy of a configuration in which explainers on pruned copies follow the others.

    `explainers` and those of `networks` have one more name for each sample pruner and explainer,
    the catalogue has their entries, with the key `sample_pruner`, and `families` has how their
    families are explained. `config` is sound in all that `sample_pruning_problems` looks at.
    """
    chosen = config.get("sample_pruning", {})
    bases = explainers_for_copies(config)
    if not bases:
        return dict(config)
    entries, given = dict(config["catalogue"]["explainers"]), config.get("families", {})
    families = dict(given)
    own = {key: chosen[key] for key in _EXPLAINING if key in chosen}
    for pruner in chosen["pruners"]:
        for base in bases:
            entry = entries[base]
            family = derived_name(pruner, entry["family"])
            derived = {**entry, "family": family, "sample_pruner": pruner}
            entries[derived_name(pruner, base)] = {
                key: value for key, value in derived.items() if key not in ("images", "levels")
            }
            exceptions = given.get(entry["family"], {})
            target = {"target": exceptions["target"]} if "target" in exceptions else {}
            families[family] = {**target, **own, **given.get(family, {})}
    networks = [
        {**network, "explainers": _with_copies(network["explainers"], bases, chosen["pruners"])}
        if network.get("explainers")
        else network
        for network in config.get("networks", [])
    ]
    return {
        **config,
        "catalogue": {**config["catalogue"], "explainers": entries},
        "explainers": _with_copies(config["explainers"], bases, chosen["pruners"]),
        "families": families,
        "networks": networks,
    }


def _with_copies(names: list[str], bases: list[str], pruners: list[str]) -> list[str]:
    """`names`, and each of them that is in `bases` again for every sample pruner."""
    more = [derived_name(pruner, name) for pruner in pruners for name in names if name in bases]
    return [*names, *more]
