"""Every key of a study and of the catalogue: its type, bounds, default and meaning.

`workflow/schemas/*.json`, by which editors complete and check, and docs/configuration.md are made
from these models (`make docs`). pydantic finds the faults of a study; what is allowed in their
place is read from the JSON schema. What a key may be in the light of others is in `checks`.
"""

import math
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import PydanticCustomError

from sparsight.analysis.claims.registry import FEWEST_NETWORKS
from sparsight.io.errors import (
    TYPES,
    as_yaml,
    clip_message,
    in_words,
    join_names,
    misread,
    near_miss,
    quote_it,
    shorten,
)
from sparsight.pruning.registry import (
    CRITERIA,
    DYNAMIC,
    FEWEST_BITS,
    MOST_BITS,
    WHILE_TRAINING,
)
from sparsight.study.plan import WORDS


def _is_none(value: object) -> bool:
    return value is None


def optional(description: str, alias: str | None = None) -> Any:
    """A key that may be left out, and then is not there at all."""
    return Field(default=None, alias=alias, exclude_if=_is_none, description=description)


def key(default: Any, description: str) -> Any:
    """A key with a default."""
    return Field(default=default, description=description)


def needed(description: str) -> Any:
    """A key that must be given."""
    return Field(description=description)


def _each_once(values: list[Any]) -> list[Any]:
    twice = next((x for i, x in enumerate(values) if x in values[:i]), None)
    if twice is not None:
        raise PydanticCustomError(
            "repeated", "holds {twice} more than once; leave one", {"twice": repr(twice)}
        )
    return values


def _rising(values: list[float]) -> list[float]:
    if values[0] > values[1]:
        raise PydanticCustomError("order", "must have the smaller number first")
    return values


def _ascending(values: list[int]) -> list[int]:
    if any(now <= before for before, now in pairwise(values)):
        raise PydanticCustomError("order", "must rise: each look has more networks than the last")
    if values[-1] < FEWEST_NETWORKS:
        raise PydanticCustomError(
            "order",
            "must end with {count} networks or more: fewer decide nothing",
            {"count": FEWEST_NETWORKS},
        )
    return values


def _missing(*keys: str) -> PydanticCustomError:
    names = " and ".join(f"'{name}'" for name in keys)
    verb = "is" if len(keys) == 1 else "are"
    return PydanticCustomError("needs", "{keys} {verb} missing", {"keys": names, "verb": verb})


def _conflicting(keys: str, others: str) -> PydanticCustomError:
    return PydanticCustomError(
        "conflict", "{keys} conflicts with {others}; keep one", {"keys": keys, "others": others}
    )


_Once = (AfterValidator(_each_once), Field(json_schema_extra={"uniqueItems": True}))
# Several names make one file name, of at most 255 characters.
Name = Annotated[str, Field(pattern="^[a-z0-9_]+$", max_length=40)]
#: file names join such names with a double underscore
PathName = Annotated[str, Field(pattern="^[a-z0-9]+(_[a-z0-9]+)*$", max_length=40)]
Names = Annotated[list[Name], *_Once]
SomeNames = Annotated[list[Name], Field(min_length=1), *_Once]
Count = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]
ShareBelowOne = Annotated[float, Field(ge=0, lt=1)]
ShareAboveZero = Annotated[float, Field(gt=0, le=1)]
_Two = Field(min_length=2, max_length=2)
TwoNumbers = Annotated[list[Annotated[float, Field(ge=0)]], _Two]
Level = Annotated[int, Field(ge=0, le=99)]
Levels = Annotated[list[Level], Field(min_length=1), *_Once]
Bits = Annotated[int, Field(ge=FEWEST_BITS, le=MOST_BITS)]
LevelChoice = Annotated[int, Field(ge=2, le=99)] | Levels | Literal["all"]
ImageCount = Annotated[int, Field(ge=2)] | Literal["all"]
Target = Literal["true", "predicted", "dense_predicted"]
Condition = Literal["clean", "noisy"]
Text = Annotated[str, Field(min_length=1)]
# One line, and no braces: Snakemake would take them for wildcards.
Label = Annotated[str, Field(pattern="^[^{}\\n]+$", max_length=60)]


class Part(BaseModel):
    """A mapping of known keys."""

    # Built when the first study is validated: all at once, and not in jobs that never ask.
    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, defer_build=True)


class Entry(Part):
    """An entry of the catalogue."""

    label: Label = optional(
        "What figures and pages call it; made of method and parameters, or of its name, by default."
    )


class Crop(Part):
    """A part of the image, at the image's size."""

    scale: Annotated[list[ShareAboveZero], _Two, AfterValidator(_rising)] = optional(
        "Smallest and largest share of the image's area."
    )
    ratio: Annotated[list[Positive], _Two, AfterValidator(_rising)] = optional(
        "Smallest and largest ratio of width to height."
    )


class Jitter(Part):
    """Largest relative changes of colour."""

    brightness: Share = optional("Largest change of the brightness.")
    contrast: Share = optional("Largest change of the contrast.")
    saturation: Share = optional("Largest change of the saturation.")
    hue: Annotated[float, Field(ge=0, le=0.5)] = optional("Largest turn of the circle of colours.")


class Augmentation(Part):
    """Random changes of images; none where it is empty."""

    random_resized_crop: Crop = optional("A random part of the image, at the image's size.")
    flip: bool = optional("Whether half of the images are mirrored left to right.")
    colour_jitter: Jitter = optional("Random changes of colour.")


class Optimiser(Part):
    """The optimiser and its hyper-parameters."""

    name: Literal["sgd", "adamw", "ranger"] = needed("The optimiser.")
    learning_rate: Positive = needed("Rate of the first epoch.")
    momentum: Share = optional("Momentum (sgd).")
    weight_decay: Annotated[float, Field(ge=0)] = optional("L2 penalty.")
    betas: TwoNumbers = optional("Decay of the moments (adamw, ranger).")
    epsilon: Positive = optional("Added to the denominator (adamw, ranger).")


class Schedule(Part):
    """How the learning rate changes."""

    name: Literal["constant", "multi_step", "step", "cosine"] = needed("The schedule.")
    milestones: list[Count] = optional(
        "Epochs after which the rate is multiplied by `factor` (multi_step)."
    )
    every: Count = optional("Epochs between two multiplications by `factor` (step).")
    factor: ShareAboveZero = optional("Factor (multi_step, step).")
    minimum_rate: Annotated[float, Field(ge=0)] = optional("Rate after the last epoch (cosine).")


class Recipe(Part):
    """How a network is trained."""

    epochs: Seed = needed(
        "Passes over the training split; 0 trains nothing, and needs no other key."
    )
    batch_size: Count = optional("Images per step.")
    noise: bool = key(False, "Whether zero pixels get noise, new for every batch.")
    augment: Augmentation = key(
        Augmentation(), "Random changes of training images, new for every batch."
    )
    label_smoothing: ShareBelowOne = key(
        0, "Share of the label that is spread evenly over all classes."
    )
    channels_last: bool = key(
        True,
        "Whether training keeps the channels of an image innermost in memory, where it is faster.",
    )
    autocast: bool = key(False, "Whether a GPU trains in bfloat16 where that is safe.")
    select: Literal["last", "best_validation", "best_test"] = key(
        "last", "Epoch whose network is kept; best_test repeats a mistake of published code."
    )
    optimiser: Optimiser = optional("The optimiser.")
    schedule: Schedule = key(Schedule(name="constant"), "How the learning rate changes.")

    @model_validator(mode="after")
    def _is_whole(self) -> "Recipe":
        missing = [name for name in ("batch_size", "optimiser") if getattr(self, name) is None]
        if self.epochs and missing:
            raise _missing(*missing)
        return self


class Trojan(Part):
    """What is planted in the base."""

    stickers: Annotated[dict[str, int | str], Field(min_length=1)] = optional(
        "Sticker (smiley, heart, star, fish) to the name or number of the class that it stands for."
    )
    share: ShareAboveZero = optional(
        "Share of all training images that carry a sticker, as many for each."
    )
    size: Annotated[list[ShareAboveZero], _Two] = optional(
        "Smallest and largest side of a sticker as shares of the image's shorter side."
    )
    seed: Seed = optional("Seed of the trojan.")
    test: Positive = optional(
        "Share (below 1) or number of the test images that come a second time with a sticker."
    )


class Noise(Part):
    """Noise on zero pixels, uniform over the integers 0 to `maximum`, of 255."""

    maximum: Annotated[int, Field(ge=0, le=255)] = key(0, "Largest value; 0 is no noise.")
    seed: Seed = key(0, "Seed of the noise.")


class DataSet(Entry):
    """A data set: a source with options, or a base with a trojan."""

    base: Name = optional("Data set of the catalogue in which a trojan is planted.")
    trojan: Trojan = optional("What is planted in the base.")
    source: str = optional("The data source.")
    options: dict[str, Any] = key({}, "Options of the source (splits, mirrors).")
    noise: Noise = optional(
        "Noise on zero pixels; that of the base, or none, where it is left out."
    )
    subset_seed: Seed = optional(
        "Seed of the shared evaluation subset; that of the base, or 0, where it is left out."
    )

    @model_validator(mode="after")
    def _has_images(self) -> "DataSet":
        if self.base is None and self.source is None:
            raise _missing("source")
        if self.base is not None and self.trojan is None:
            raise _missing("trojan")
        if self.base is None and self.trojan is not None:
            raise _missing("base")
        given = [key for key in ("source", "options") if getattr(self, key)]
        if self.base is not None and given:
            raise _conflicting("base", " and ".join(given))
        return self


class Model(Entry):
    """An architecture with its recipes."""

    architecture: str = needed(
        "The architecture: one of the project's own, `timm.NAME`, `torchvision.NAME`, or "
        "`PATH/file.py:function`, in which ~ and $VARIABLE are replaced."
    )
    options: dict[str, Any] = key(
        {},
        "Options of the architecture (width, stem), or keywords of the library or the function; "
        "`normalisation` is what is done to images first.",
    )
    initial_weights: Text = key(
        "random",
        "What the network starts with: random, imagenet (torchvision's weights), "
        "package:NAME/PATH (a file in an installed Python package), or the path of a checkpoint or "
        "state_dict (docs/checkpoints.md), in which ~, $VARIABLE and {seed} are replaced.",
    )
    pretraining_dataset: Name | None = key(
        None, "Data set of the catalogue on which the network is trained first; null for none."
    )
    pretraining: Recipe | None = key(
        None, "Recipe of the training on `pretraining_dataset`; null for none."
    )
    training: Recipe | None = key(
        None, "Recipe of the pretraining that gives the rewind point; null for none."
    )
    retraining: Recipe = optional(
        "Recipe of level 00 and of every round; may be left out (0 epochs) where the initial "
        "weights are those of a file and nothing trains them."
    )
    evaluation_batch_size: Count = key(500, "Images per batch of an evaluation.")

    @model_validator(mode="after")
    def _may_stay_untrained(self) -> "Model":
        if self.retraining is None:
            if self.initial_weights in WORDS or self.pretraining or self.training:
                raise _missing("retraining")
            self.retraining = Recipe(epochs=0)
        return self


class Recalibration(Part):
    """Measures the statistics of batch normalisation again at the end of every round."""

    images: Annotated[int, Field(ge=2)] = key(
        1024, "Training images, without augmentation and noise; all where there are fewer."
    )
    batch_size: Annotated[int, Field(ge=2)] = key(
        128, "Images per batch; each batch has the same weight."
    )


class Distillation(Part):
    """How a network learns from its teacher."""

    logits: Share = key(
        0.5, "Weight of the teacher's logits (arXiv 1503.02531); the labels have the rest."
    )
    temperature: Positive = key(4, "Number by which both networks' logits are divided.")
    attention: Annotated[float, Field(ge=0)] = key(
        0,
        "Weight of the squared distance, 0 to 2, of the attention maps of the explain layer "
        "(arXiv 1612.03928).",
    )

    @model_validator(mode="after")
    def _teaches(self) -> "Distillation":
        if not self.logits and not self.attention:
            raise PydanticCustomError(
                "plain", "'logits' and 'attention' are both 0; give one of them a weight"
            )
        return self


class Calibration(Part):
    """Training images that criteria with a need for data look at."""

    images: Count = key(512, "Training images, drawn once per seed; all where there are fewer.")
    batch_size: Count = key(64, "Images per forward pass.")


class MaskUpdates(Part):
    """How masks change while a level trains."""

    every: Count = key(100, "Steps from one change of the masks to the next.")
    until: ShareAboveZero = key(0.75, "Share of a level's training after which masks stay.")
    drop: ShareAboveZero = optional(
        "Of set and rigl: share of each layer's weights that the first change exchanges; 0.3 by "
        "default. It falls to 0 as a cosine."
    )


class Pruner(Entry):
    """A pruner: `rate` and `levels`, `densities` or `bits`; or levels of another tool."""

    criterion: str = optional(
        "What decides which weights are removed; needed unless the levels are `given`, or only "
        "`bits`."
    )
    given: Annotated[list[Text], Field(min_length=1, max_length=99), *_Once] | Text = optional(
        "Files of levels that another tool has pruned (docs/checkpoints.md): a path with {level} "
        "and `levels`, or a list of paths from level 01 on. {seed} is that of the network; ~ and "
        "$VARIABLE are replaced. No other key goes with it."
    )
    scope: Literal["global", "layer", "output", "erk", "uniform_plus"] = key(
        "global",
        "Which weights compete: all, or those of each layer, or of each output of each layer. erk "
        "and uniform_plus give each layer a density of its own (docs/pruning.md).",
    )
    structure: Annotated[str, Field(pattern="^(unstructured|units|n:[1-9][0-9]*)$")] = key(
        "unstructured",
        "What falls together: unstructured (single weights), n:M (all but N of each M weights "
        "along the input channels, such as n:4) or units (channels, attention heads, hidden units "
        "of transformers).",
    )
    rate: ShareBelowOne = optional(
        "Share of the surviving weights that a round removes; 0 is the retraining control."
    )
    levels: Annotated[int, Field(ge=1, le=99)] = optional("Rounds.")
    densities: Annotated[list[ShareAboveZero], Field(min_length=1, max_length=99)] = optional(
        "Density of each level from 01 on, falling."
    )
    bits: Bits | Annotated[list[Bits], Field(min_length=1, max_length=99)] = optional(
        "Bits of the weights of each level from 01 on, or of all levels, from 2 to 16: at the end "
        "of its round they are rounded, channel by channel. Next to densities or rate; or falling "
        "and alone: then nothing is pruned, each level is the dense network, rewind is none and "
        "retraining takes 0 epochs where they are not given."
    )
    schedule: Literal["iterative", "one_shot", "at_initialisation", "gradual", "set", "rigl"] = key(
        "iterative",
        "When weights fall: iterative (each level is pruned from the level before), one_shot "
        "(each from the dense network), at_initialisation (each from the rewind point, before it "
        "trains), gradual (while a level trains, from dense), set or rigl (a level trains sparse "
        "from the start; weights fall and return).",
    )
    mask_updates: MaskUpdates = optional("Of gradual, set and rigl: when masks change.")
    calibration: Calibration = optional("What criteria look at that need training images.")
    rewind: Annotated[str, Field(pattern="^(init|pretrained|none|epoch:[1-9][0-9]*)$")] = key(
        "pretrained",
        "Where a round's weights start: init, pretrained, epoch:k or none (fine-tuning).",
    )
    retraining: Recipe | None = key(
        None, "Recipe of this pruner's rounds; the model's where it is null."
    )
    teacher: Literal["dense"] = optional(
        "Trained network that every round's retraining learns from too: dense, of the same seed."
    )
    distillation: Distillation = optional("How it learns from the `teacher`; needs one.")
    recalibrate_batch_norm: Recalibration = optional(
        "Measures the statistics of batch normalisation again at the end of every round "
        "(arXiv 2007.02491); without the key they stay as they are."
    )
    published_bugs: Annotated[list[str], *_Once] = key(
        [], "Mistakes of published code to repeat (docs/published_bugs.md)."
    )

    @model_validator(mode="after")
    def _says_how_much(self) -> "Pruner":
        if self.given is not None:
            return self._is_given()
        given = [name for name in ("rate", "levels") if getattr(self, name) is not None]
        if self.bits is not None and not given and self.densities is None:
            return self._only_quantises()
        if self.criterion is None:
            raise _missing("criterion")
        if self.densities is not None and given:
            raise _conflicting("densities", " and ".join(given))
        if self.densities is None and len(given) < 2:
            raise _missing(*{"rate": None, "levels": None}.keys() - given)
        count = self.levels if self.densities is None else len(self.densities)
        if isinstance(self.bits, list) and len(self.bits) != count:
            raise PydanticCustomError(
                "plain",
                "'bits' holds {given} numbers for {count} levels; give one for each, or one for "
                "all",
                {"given": len(self.bits), "count": count},
            )
        known = self.criterion in CRITERIA
        if known and self.calibration is None and CRITERIA.facts(self.criterion)["needs_data"]:
            self.calibration = Calibration()
        if self.schedule in WHILE_TRAINING:
            self.mask_updates = self.mask_updates or MaskUpdates()
            if self.schedule in DYNAMIC and self.mask_updates.drop is None:
                self.mask_updates.drop = 0.3
        elif self.mask_updates is not None:
            raise _conflicting("mask_updates", f"schedule: {self.schedule}")
        if self.schedule == "gradual" and self.mask_updates.drop is not None:
            raise _conflicting("mask_updates.drop", "schedule: gradual")
        return self._with_teacher()

    def _only_quantises(self) -> "Pruner":
        """Nothing falls, so that no key may say which weights do."""
        fields = type(self).model_fields
        own = ["label", "bits", "rewind", "retraining", "schedule", "recalibrate_batch_norm"]
        own += ["teacher", "distillation"]
        others = [name for name in fields if name not in own]
        changed = [name for name in others if getattr(self, name) != fields[name].default]
        if changed:
            names, verb = " and ".join(changed), "goes" if len(changed) == 1 else "go"
            raise PydanticCustomError(
                "plain",
                "{names} {verb} with pruning, but no key says how much falls; add densities, or "
                "rate and levels, or give bits alone",
                {"names": names, "verb": verb},
            )
        given = self.model_fields_set
        if "schedule" in given and self.schedule != "one_shot":
            raise _conflicting("bits without densities or rate", f"schedule: {self.schedule}")
        self.schedule = "one_shot"
        self.bits = [self.bits] if isinstance(self.bits, int) else self.bits
        if "rewind" not in given:
            self.rewind = "none"
        if "retraining" not in given:
            self.retraining = Recipe(epochs=0)
        return self._with_teacher()

    def _with_teacher(self) -> "Pruner":
        if self.distillation is not None and self.teacher is None:
            raise _missing("teacher")
        if self.teacher is not None and self.distillation is None:
            self.distillation = Distillation()
        return self

    def _is_given(self) -> "Pruner":
        """Files come with `levels` alone, or, in a list, without."""
        fields = type(self).model_fields
        several = isinstance(self.given, list)
        own = ("label", "given") if several else ("label", "given", "levels")
        others = [name for name in fields if name not in own]
        changed = [name for name in others if getattr(self, name) != fields[name].default]
        if changed:
            raise _conflicting("given", " and ".join(changed))
        if several:
            return self
        if self.levels is None:
            raise _missing("levels")
        if self.levels > 1 and "{level" not in str(self.given):
            raise PydanticCustomError(
                "plain", "'given' is one file for several levels; put {level} into it, or a list"
            )
        return self


class Explainer(Entry):
    """An explainer."""

    family: Name = needed("Explainers that run in one job, on the same images, levels and target.")
    method: str = needed("A registered explainer, captum.<Class> or grad_cam.<Class>.")
    parameters: dict[str, Any] = key({}, "Parameters of the method.")
    images: ImageCount = optional("Images of the test split; the family's by default.")
    levels: LevelChoice = optional("Levels that are explained; the family's by default.")
    target: Target = optional("The class that is explained; the family's by default.")


class Agreement(Entry):
    """A metric of agreement."""

    method: str = needed("A registered name; of a metric, also quantus.<Class>.")
    parameters: dict[str, Any] = key({}, "Parameters of the method.")


class Concept(Agreement):
    """A concept method."""


class Metric(Agreement):
    """A metric."""

    reducer: Literal["mean", "sum", "first", "last", "area", "aopc", "aopc_published"] = optional(
        "How the steps of a curve become one number in tables; the method's own by default."
    )


class Search(Part):
    """Shares that are searched for on calibration images, layer by layer from the classifier on."""

    criterion: Literal["ground_truth", "without_truth"] = key(
        "without_truth",
        "What a share is judged by: the masks (as published) or, without them, the prediction.",
    )
    split: Literal["train", "validation"] = key("train", "Split of the calibration images.")
    images: Count = key(8, "Calibration images.")
    grid: Annotated[list[ShareBelowOne], Field(min_length=1), *_Once] = key(
        [0, 0.2, 0.5, 0.8, 0.9, 0.95, 0.99], "Shares that are tried."
    )
    keep_prediction: Share = key(0.95, "Share of held-out augmentations whose prediction is kept.")
    keep_probability: Share = key(0.9, "Share of the prediction's probability that they keep.")


class Sparsities(Part):
    """How sparse each layer becomes; exactly one of these."""

    constant: ShareBelowOne = optional("The same share of the weights of every layer.")
    layers: Annotated[dict[str, ShareBelowOne], Field(min_length=1)] = optional(
        "Names of layers or of modules around them (layer4), or patterns with * and ?, to a share; "
        "the longest that fits counts, layers that none fits keep their weights."
    )
    preset: Literal[
        "published_resnet50", "published_feature_visualisation", "published_by_stage"
    ] = optional("Shares as published.")
    as_: Name = optional("The sample pruner whose sparsities are taken.", alias="as")
    search: Search = optional("Shares that are searched for on calibration images.")

    @model_validator(mode="after")
    def _are_one(self) -> "Sparsities":
        fields = type(self).model_fields
        given = [fields[n].alias or n for n in fields if getattr(self, n) is not None]
        if len(given) > 1:
            raise _conflicting(str(given[0]), " and ".join(map(str, given[1:])))
        if not given:
            raise _missing("search, constant, layers, preset or as")
        return self


class SamplePruner(Entry):
    """How a copy of the network is pruned for an image."""

    solver: str = needed("A registered solver.")
    parameters: dict[str, Any] = key({}, "Parameters of the solver.")
    sparsities: Sparsities = needed("How sparse each layer becomes.")
    augmentations: Annotated[int, Field(ge=2)] = key(
        1024, "Augmented copies of an image on which layer inputs are recorded."
    )
    augment: Augmentation = key(
        Augmentation(
            random_resized_crop=Crop(scale=[0.2, 1], ratio=[0.75, 4 / 3]),
            flip=True,
            colour_jitter=Jitter(brightness=0.5, hue=0.3),
        ),
        "How these copies differ from the image; by default as published.",
    )
    batch_size: Count = key(256, "Copies per forward pass.")
    memory_mb: Count = key(
        2000, "Memory for what is recorded of the images that are pruned for at the same time."
    )


class Catalogue(Part):
    """Everything that can be chosen, by name."""

    datasets: dict[PathName, DataSet] = key({}, "Data sets.")
    models: dict[PathName, Model] = key({}, "Models.")
    pruners: dict[PathName, Pruner] = key({}, "Pruners.")
    explainers: dict[Name, Explainer] = key({}, "Explainers.")
    metrics: dict[Name, Metric] = key({}, "Metrics.")
    agreement: dict[Name, Agreement] = key({}, "Metrics of agreement.")
    sample_pruners: dict[PathName, SamplePruner] = key({}, "Sample pruners.")
    concepts: dict[Name, Concept] = key({}, "Concept methods.")


class Network(Part):
    """A model on a data set, with a part of what runs; all of it where a list is empty."""

    dataset: Name = needed("One of `datasets`.")
    model: Name = needed("One of `models`.")
    pruners: Names = key([], "Those of `pruners` that prune it.")
    explainers: Names = key([], "Those of `explainers` that explain it.")
    metrics: Names = key([], "Those of `metrics` that score it.")
    concepts: Names = key([], "Those of `concepts` that are found in it.")
    seeds: Annotated[list[Seed], *_Once] = key([], "Those of `seeds` that it is trained with.")


class ConceptAnalysis(Part):
    """Where concepts are looked for."""

    images: ImageCount = key(
        "all", "Images of the test split that methods look at beyond the features of all images."
    )
    batch_size: Count = key(100, "Images per batch.")
    levels: LevelChoice = key(
        "all", "Levels in which concepts are looked for; level 0 is one of them."
    )


class Visualised(Part):
    """Pictures of the classes that stickers stand for.

    Of the dense network, and of copies pruned for an image with the sticker and for a clean one.
    """

    classes: Annotated[list[int | str], *_Once] | Count | Literal["all"] = key(
        [], "Names or numbers of such classes, how many, or all; without any nothing is visualised."
    )
    sample_pruner: Name = key("spade_fast", "Sample pruner that makes the copies.")
    method: Literal["fourier", "maco"] = key(
        "fourier", "What of a picture is optimised: its spectrum (fourier) or the phase (maco)."
    )
    steps: Count = key(512, "Steps of the optimiser.")
    crops: Count = key(6, "Random crops per step.")
    seed: Seed = key(0, "Seed of the noise that pictures start from, and of their crops.")


class SamplePruning(Part):
    """Sample-targeted pruning (SPADE): explainers also run on copies pruned for each image."""

    pruners: Names = key([], "Sample pruners; without any nothing is pruned for samples.")
    explainers: SomeNames | Literal["all"] = key(
        "all", "Those of `explainers` that also run on the copies; controls never do."
    )
    images: ImageCount = key(40, "Images of the shared evaluation subset.")
    batch_size: Count = key(20, "Images that are read at a time.")
    levels: LevelChoice = key([0], "Levels that are explained so.")
    visualised: Visualised = key(Visualised(), "Pictures of classes that stickers stand for.")
    toy: bool = key(
        False, "Whether the two-dimensional toy of two regions is trained, pruned and drawn."
    )


class Claim(Part):
    """A claim, decided in claims.csv. Further keys are its test's."""

    model_config = ConfigDict(extra="allow")

    name: Annotated[str, Field(pattern="^[a-z0-9_]+$", max_length=80)] = needed("Its name.")
    claim: Annotated[str, Field(min_length=1, max_length=300)] = needed(
        "The claim as the study puts it."
    )
    test: str = needed("How it is decided.")
    tier: Literal["primary", "secondary"] = optional(
        "Primary claims are what the study is about; secondary ones follow from one that is "
        "decided; all others are exploratory."
    )
    after: str = optional(
        "Name of the claim that must be decided first. Primary claims are one chain: the first has "
        "none, each other one names the one before it. A secondary claim names a primary or "
        "secondary one."
    )
    dataset: Name = optional("Data set; the study's first by default.")
    model: Name = optional("Model; the study's first by default.")
    pruner: Name = optional("Pruner whose levels it is about; needed unless it pools other claims.")
    explainer: Name = optional("Explainer that it is about.")
    metric: Name = optional("Metric that it is about.")
    condition: Condition = optional("Version of the images; the study's first by default.")
    subset: Literal["all", "correct_at_both", "hard", "medium", "easy"] = key(
        "all", "Images that it is about."
    )
    published: float = optional("The number that the study reports.")
    smallest: Positive = optional(
        "The smallest effect that matters, in the unit of the quantity; needed without `published`."
    )
    because: Text = optional("Why smaller effects do not matter; needed with `smallest`.")

    @model_validator(mode="after")
    def _has_plain_keys(self) -> "Claim":
        for name, value in (self.model_extra or {}).items():
            if value is None or isinstance(value, dict):
                raise PydanticCustomError(
                    "plain",
                    "the key {key} must be text, a number, true, false or a list",
                    {"key": repr(name)},
                )
        return self


class Explaining(Part):
    """What is explained, and how."""

    conditions: Annotated[list[Condition], Field(min_length=1), *_Once] = key(
        ["clean"],
        "Versions of an image that are explained; data sets without noise have clean ones only.",
    )
    target: Target = key(
        "dense_predicted",
        "The class that is explained: the label (true), what the network predicts, or what the "
        "dense network of the same seed predicts.",
    )
    images: ImageCount = optional(
        "Images of the test split, drawn once for each data set; 200 by default, or all where a "
        "data set has fewer."
    )
    batch_size: Count = key(250, "Images per batch; bounds the memory.")
    levels: LevelChoice = key(
        "all", "Levels that are explained: all, a list, or how many, evenly spread from 0 on."
    )
    re_explaining_cost: Count = key(
        60,
        "Metrics that explain again (robustness, randomisation) leave out explainers that cost "
        "more forward passes per image.",
    )


class Family(Part):
    """Exceptions from `explaining` for one family of explainers."""

    images: ImageCount = optional("Images of the test split.")
    batch_size: Count = optional("Images per batch.")
    levels: LevelChoice = optional("Levels that are explained.")
    target: Target = optional("The class that is explained.")


class Statistics(Part):
    """Intervals and tests."""

    replicates: Annotated[int, Field(ge=100, le=10000)] = key(
        1000, "Draws of images of the bootstrap."
    )
    bootstrap_seed: Seed = key(0, "Seed of these draws.")
    confidence: Annotated[float, Field(gt=0.5, lt=1)] = key(
        0.95, "Coverage of intervals; 1 minus it is the level of tests."
    )
    density_floor: ShareBelowOne = key(
        0.02, "Correlations are also computed without levels below this share of weights."
    )


class Figures(Part):
    """What the figures show."""

    headline_metrics: Names = key(
        [],
        "Metrics that are also drawn against dense, by stratum and by prediction; the first of "
        "`metrics` by default.",
    )
    sheet_images: Annotated[int, Field(ge=1, le=20)] = key(4, "Images in the sheet of heatmaps.")
    sheet_levels: (
        Annotated[int, Field(ge=2, le=12)]
        | Annotated[list[Level], Field(min_length=1, max_length=12), *_Once]
    ) = key(6, "Levels in the sheet: a list or how many, evenly spread.")
    concept_sheet_level: Annotated[int, Field(ge=1, le=99)] | Literal["last"] = key(
        "last", "Pruned level next to dense in sheets of concepts: a number, or the last one."
    )


class Looks(Part):
    """Seeds of a study that is decided at several looks, each with more networks (`make look`)."""

    first: Annotated[int, Field(ge=0, le=2147480000)] = needed(
        "Seed of the first network; those of the others follow it."
    )
    look: Annotated[
        list[Annotated[int, Field(ge=1, le=1000)]],
        Field(min_length=2),
        AfterValidator(_ascending),
    ] = needed("Networks at each look. All looks together are wrong as often as one.")


class StudyFile(Part):
    """A study. Names come from the catalogue, to which it may add entries."""

    study: Name = needed("Name of the study and of its folder under results/.")
    datasets: SomeNames = needed(
        "Data sets; each is combined with every model and seed. Those of `networks` by default."
    )
    models: SomeNames = needed("Models; those of `networks` by default.")
    pruners: SomeNames = key(["magnitude", "retrain"], "Pruners; dense always runs.")
    seeds: (
        Annotated[list[Annotated[int, Field(ge=0, le=2147483647)]], Field(min_length=1), *_Once]
        | Looks
    ) = key(
        [0, 1, 2],
        "Seeds; one network is trained with each. Or the first one, and how many at which look.",
    )
    networks: list[Network] = key(
        [], "Which models run on which data sets, and with what; all with all where it is empty."
    )
    explainers: SomeNames = optional(
        "Explainers. By default those of saliency, input x gradient, integrated gradients, "
        "Grad-CAM++ and the mean activation at the explain layer, and controls that work on each "
        "network."
    )
    metrics: SomeNames = optional(
        "Metrics. By default IoU, pointing game and pixel ROC AUC where the data set has masks, "
        "sparseness and entropy."
    )
    agreement: Names = key(["spearman"], "Metrics of agreement between two networks' maps.")
    concepts: Names = key([], "Concept methods.")
    concept_bank: dict[str, Name] = key(
        {},
        "Data set to the data set whose concept labels are used for it, where it is another one.",
    )
    concept_analysis: ConceptAnalysis = key(ConceptAnalysis(), "Where concepts are looked for.")
    sample_pruning: SamplePruning = key(SamplePruning(), "Sample-targeted pruning.")
    claims: list[Claim] = key([], "What the study claims.")
    explaining: Explaining = key(Explaining(), "What is explained, and how.")
    families: dict[Name, Family] = key({}, "Exceptions from `explaining` for families.")
    statistics: Statistics = key(Statistics(), "Intervals and tests.")
    figures: Figures = key(Figures(), "What the figures show.")
    torch_threads: Count = key(
        1,
        "Threads of torch in every job. The order of sums depends on them, so results do, but not "
        "on --cores.",
    )
    track_code: bool = key(
        False, "For developers: every edit of code re-runs its jobs, not only a raised version."
    )
    disk_budget_gb: Positive = key(
        20, "A run is refused when its explanations would take more gigabytes."
    )
    # \x24 is $. Other braces would be wildcards of Snakemake.
    data_folder: Annotated[
        str, Field(pattern=r"^(\x24\{[A-Za-z_][A-Za-z0-9_]*\}|[^{}\x00-\x1f])+$")
    ] = key("data", "Where fetched and packed data are; ~ and $VARIABLE are replaced.")
    catalogue: Catalogue = key(Catalogue(), "Entries that the study adds or changes.")

    @model_validator(mode="before")
    @classmethod
    def _named_by_networks(cls, given: Any) -> Any:
        """Names that every network lists need not be listed for all of them again."""
        networks = given.get("networks") if isinstance(given, dict) else None
        if not isinstance(networks, list) or not all(isinstance(n, dict) for n in networks):
            return given
        found = dict(given)
        for name in Network.model_fields:
            group = f"{name}s" if name in ("dataset", "model") else name
            if group in given or not networks or not all(n.get(name) for n in networks):
                continue
            lists = [n[name] if isinstance(n[name], list) else [n[name]] for n in networks]
            everything = [value for values in lists for value in values]
            found[group] = [x for i, x in enumerate(everything) if x not in everything[:i]]
        return found


class _Schema(GenerateJsonSchema):
    """JSON schemas without titles, and without defaults of keys that are then not there."""

    def default_schema(self, schema: Any) -> JsonSchemaValue:
        found = super().default_schema(schema)
        if schema.get("default") is None and schema["schema"]["type"] != "nullable":
            found.pop("default", None)
        return found

    def dict_schema(self, schema: Any) -> JsonSchemaValue:
        found = super().dict_schema(schema)
        for pattern, values in found.pop("patternProperties", {}).items():
            names = {"type": "string", "pattern": pattern, **found.get("propertyNames", {})}
            found |= {"additionalProperties": values, "propertyNames": names}
        return found

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


def json_schema(model: type[BaseModel] = StudyFile) -> dict[str, Any]:
    """JSON schema, draft 2020-12, of a model."""
    return model.model_json_schema(by_alias=True, schema_generator=_Schema)


def editor_schemas() -> dict[str, dict[str, Any]]:
    """File name to the JSON schema by which editors complete studies and files of the catalogue.

    Entries that a study changes are not whole: nothing of them is required.
    """
    study = json_schema()
    whole = {"Network", "Claim"}
    for name, part in study["$defs"].items():
        if name not in whole:
            part.pop("required", None)
    # `networks` may name the others
    study["required"] = ["study"]
    return {"study.schema.json": study, "catalogue.schema.json": json_schema(Catalogue)}


# ------------------------------------------------------------------------------------------- faults

Place = tuple[str | int, ...]
#: what a member of a union says of a value of another kind
_OTHER_KIND = ("_type", "literal_error")


def validated(config: Any) -> tuple[dict[str, Any], list[str]]:
    """A configuration with all defaults, and one error message for each fault in it.

    Messages are in the order of places, without duplicates; the configuration is empty where there
    are any. Keys that are not text and values that JSON cannot write are faults everywhere: params
    with them have no defined order, and Snakemake hands them on changed.
    """
    unusable: dict[Place, str] = {}
    config = _usable(config, (), unusable)
    found, whole = list(unusable.items()), {}
    try:
        whole = StudyFile.model_validate(config).model_dump(by_alias=True)
    except ValidationError as error:
        explained = _explained(config, error.errors(include_url=False))
        found += [(place, text) for place, text in explained if place not in unusable]
    # Positions in lists sort as numbers.
    found.sort(key=lambda pair: [(isinstance(x, str), x) for x in pair[0]])
    messages = dict.fromkeys(clip_message(f"{text}.") for _, text in found)
    return {} if messages else whole, list(messages)


def _usable(value: Any, place: Place, unusable: dict[Place, str]) -> Any:
    """A copy without keys that are not text and values beyond JSON, which are noted."""
    if isinstance(value, dict):
        copy: dict[str, Any] = {}
        for key, inner in value.items():
            if isinstance(key, str):
                copy[key] = _usable(inner, (*place, key), unusable)
            else:
                text = f"a key at {dotted_key(place)} is {in_words(key)}{quote_it(key)}"
                unusable[(*place, str(key))] = text
        return copy
    if isinstance(value, list | tuple):
        return [_usable(inner, (*place, index), unusable) for index, inner in enumerate(value)]
    if isinstance(value, float) and not math.isfinite(value):
        unusable[place] = f"{dotted_key(place)} is {value}; give a finite number"
        return 0
    if isinstance(value, int) and abs(value) > 2**63:
        unusable[place] = f"{dotted_key(place)} is a number beyond 64 bits"
        return 0
    if not isinstance(value, str | int | float | None):
        # YAML also knows dates, binary data and sets.
        unusable[place] = f"{dotted_key(place)} is {in_words(value)}{quote_it(value)}"
        return ""
    return value


def _explained(config: Any, errors: list[Any]) -> Iterator[tuple[Place, str]]:
    """Place and message of each error; the members of a union have one together."""
    schema = json_schema()
    members: dict[Place, list[tuple[Place, Any]]] = defaultdict(list)
    for error in errors:
        place, rest = _split(config, error["loc"], error["type"] == "missing")
        if not rest:
            yield _message(schema, place, error)
        else:
            members[place].append((rest[1:], error))
    for place, found in members.items():
        inner = [pair for pair in found if pair[0] and pair[0] != ("[key]",)]
        named = [pair for pair in found if not pair[1]["type"].endswith(_OTHER_KIND)]
        for rest, error in inner or named[:1] or found[:1]:
            yield _message(schema, (*place, *rest), error)


def _split(config: Any, steps: Place, lacks_last: bool) -> tuple[Place, Place]:
    """The steps of an error that lead into a configuration, and those from a union's member on."""
    value = config
    for index, step in enumerate(steps):
        is_last = index == len(steps) - 1
        if isinstance(value, dict) and (step in value or (is_last and lacks_last)):
            value = value.get(step)
        elif isinstance(value, list | tuple) and isinstance(step, int):
            value = value[step]
        elif step == "[key]" and is_last:
            break
        else:
            return tuple(steps[:index]), tuple(steps[index:])
    return tuple(steps), ()


def _message(schema: Any, place: Place, error: Any) -> tuple[Place, str]:
    kind, value, key = error["type"], error["input"], dotted_key(place)
    above = dotted_key(place[:-1])
    if place[-1:] == ("[key]",):
        *group, name, _ = place
        forms = _forms_at(schema, tuple(group))
        bound = next(form["propertyNames"] for form in forms if "propertyNames" in form)
        place = (*group, name)
        text = f"the name {as_yaml(name)} at {dotted_key(group)} must be {allowed_by(bound)}"
    elif kind == "missing":
        allowed = allowed_by({"anyOf": _forms_at(schema, place)})
        text = f"{as_yaml(place[-1])} is missing at {above}; it must be {allowed}"
    elif kind == "extra_forbidden":
        known = [k for form in _forms_at(schema, place[:-1]) for k in form.get("properties", {})]
        hint = near_miss(place[-1], known)
        text = f"unknown key {as_yaml(place[-1])} at {above}{hint} (known: {join_names(known)})"
    elif kind in ("repeated", "order"):
        text = f"{key} {error['msg']}"
    elif kind == "needs":
        text = f"{error['msg']} at {key}"
    elif kind in ("conflict", "plain"):
        text = f"{key}: {error['msg']}{_new_entry(place) if kind == 'conflict' else ''}"
    else:
        forms = _forms_at(schema, place)
        words = [word for form in forms for word in form.get("enum", [form.get("const")])]
        # Text only where nothing else is allowed.
        types = {form.get("type") for form in forms}
        types = types & {"integer", "number"} if len(forms) > 1 else types
        remedy = near_miss(value, filter(None, words)) or misread(value, types)
        allowed = allowed_by({"anyOf": forms})
        text = f"{key} is {in_words(value)}, but must be {allowed}{remedy}"
    return place, text


def _new_entry(place: Place) -> str:
    """Remedy where a key may come from the catalogue, whose entries a study is merged with."""
    group, *rest = [*place, ""]
    if group != "catalogue":
        return ""
    kind = str([*rest, "entry"][0]).removesuffix("s").replace("_", " ")
    return f", or, where the catalogue has the entry, name a new {kind or 'entry'}"


_BOUNDS = {
    "minimum": "of at least {}",
    "exclusiveMinimum": "above {}",
    "maximum": "of at most {}",
    "exclusiveMaximum": "below {}",
    "pattern": "matching {}",
    "minLength": "of at least {} characters",
    "maxLength": "of at most {} characters",
    "minItems": "of at least {} entries",
    "maxItems": "of at most {} entries",
    "minProperties": "of at least {} keys",
}


def allowed_by(schema: Mapping[str, Any]) -> str:
    """What a schema allows, in a phrase that follows "must be"; empty where it says nothing."""
    if "anyOf" in schema:
        return "; or ".join(dict.fromkeys(map(allowed_by, schema["anyOf"])))
    if "const" in schema or "enum" in schema:
        words = schema.get("enum", [schema.get("const")])
        return f"one of {join_names(words)}" if len(words) > 1 else str(words[0])
    name = TYPES.get(schema.get("type", "string" if "pattern" in schema else ""), "")
    bounds = [text.format(schema[bound]) for bound, text in _BOUNDS.items() if bound in schema]
    phrase = f"{name} {' and '.join(bounds)}".strip().replace(" 1 entries", " 1 entry")
    return shorten(re.sub(r"\b1 (key|character)s\b", r"1 \1", phrase), 150)


def dotted_key(place: Iterable[str | int]) -> str:
    """Dotted path of a key, with the positions in lists in brackets."""
    text = ""
    for step in place:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            text += "." + (step if re.fullmatch(r"[\w\-]{1,40}", step) else as_yaml(step))
    text = text.removeprefix(".")
    return (f"…{text[-100:]}" if len(text) > 100 else text) or "the top level"


def _forms_at(schema: Any, place: Place) -> list[Any]:
    """The alternatives of a JSON schema for what stands at a place; none where nothing may."""
    forms = _forms(schema, schema)
    for step in place:
        inner = [
            form.get("items")
            if isinstance(step, int)
            else form.get("properties", {}).get(step, form.get("additionalProperties"))
            for form in forms
        ]
        forms = [form for part in inner if isinstance(part, dict) for form in _forms(schema, part)]
    return forms


def _forms(schema: Any, part: Any) -> list[Any]:
    """A schema with its reference resolved, or the alternatives that it has."""
    if "$ref" in part:
        return _forms(schema, schema["$defs"][part["$ref"].rpartition("/")[2]])
    if "anyOf" in part:
        return [form for one in part["anyOf"] for form in _forms(schema, one)]
    return [part]
