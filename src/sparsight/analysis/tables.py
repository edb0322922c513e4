"""Every table that a study writes to `summary/`: its columns, one writer, one reader.

Light to import: planning a study reads it.
"""

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from sparsight.io.errors import CorruptFile, InputError
from sparsight.io.files import remedy
from sparsight.rounding import FULL_BITS

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

#: a correlation over levels needs this many: of two levels every one is 1 or -1
FEWEST_LEVELS = 3
#: value of `seed` in rows that average over networks
MEAN = "mean"
#: value of `level` in rows that average over levels
ALL_LEVELS = "all"
#: share of empty maps above which a metric of maps says nothing of a level
MOST_EMPTY = 0.1
#: kinds of numbers about concepts: of one network's concepts, and of how they differ from another's
FOUND, COMPARED = "found", "compared"
#: lengths of the lists of concepts: that of arXiv 2307.13698, and a longer one
SHORT, LONG = 3, 5

#: columns that several tables share: `names: dtype [unit; better] meaning`
_SHARED = """
study: str name of the study
dataset: str name of the data set
model: str name of the model
pruner: str name of the pruner; "dense" for networks that were not pruned
seed: int64 seed of the network
seed_or_mean: str seed of the network, or "mean" over networks
level: int64 pruning level; 0 is the dense network
density: float64 [share, 0 to 1] prunable weights left, measured in the masks; in rows over \
networks their mean
bits: int64 [2 to 32] the fewest that hold each prunable weight, measured in the weights; 32 where \
they are not quantised
explainer: str name of the explainer
control: bool whether the explainer is a control
condition: str images as they are ("clean") or with noise ("noisy")
metric: str name of the metric
subset: str subset of the images: "all", "correct_at_both" (right here and in the dense network)
n_seeds: int64 networks that enter
effect_size: float64 [standard deviations between networks] the difference (Cohen's d_z)
seeds_up, seeds_down: Int64 networks whose difference is above (below) 0
p: float64 [0 to 1] two-sided, Student t over networks; empty without a test
p_adjusted: float64 [0 to 1] Benjamini-Hochberg within data set, model and pruner, without controls
concept, method: str configured name of the concept method, and the method behind it
"""

_BITS = (
    "bits: float64 [2 to 32] the fewest that hold each prunable weight of the level, measured in "
    "the weights; mean over networks"
)
_CONTRAST = f"""density
{_BITS}
n_seeds
mean: float64 [of the metric] mean over networks of the mean over images
mean_low, mean_high: float64 [of the metric] Student t over networks; of accuracy, of its logit
mean_images_low, mean_images_high: float64 [of the metric] over images, for these networks
difference: float64 [of the metric] minus level 0 of the same network; over networks defined at both
difference_low, difference_high: float64 [of the metric] interval of the paired t
difference_images_low, difference_images_high: float64 [of the metric] over images, these networks
effect_size seeds_up seeds_down p p_adjusted"""
_INTERVALS = "\n".join(
    f"{name}_low, {name}_high: float64 [-1 to 1] t on Fisher's scale over networks; of means\n"
    f"{name}_seeds: Int64 networks with a defined coefficient; rows of means"
    for name in ("pearson", "spearman", "kendall", "first_difference", "rank_partial")
)
_SHOWN = "\n".join(
    f"{name}_shown: float64 [-1 to 1] {name} over these levels alone\n"
    f"{name}_shown_low, {name}_shown_high: float64 [-1 to 1] t on Fisher's scale; of means\n"
    f"{name}_shown_seeds: Int64 networks with a defined coefficient; rows of means"
    for name in ("pearson", "spearman")
)
_TOP = "\n".join(
    f"top_{place}: str the concept at place {place}; empty where there are fewer\n"
    f"weight_{place}: float64 its weight"
    for place in range(1, LONG + 1)
)


def _floors(unit: str) -> str:
    return "\n".join(
        f"""minus_{floor}: float64 [{unit}] minus that of {networks}
minus_{floor}_low, minus_{floor}_high: float64 [{unit}] interval {interval}
minus_{floor}_seeds: Int64 networks that have both
minus_{floor}_p: float64 [0 to 1] two-sided, of the paired t
minus_{floor}_p_adjusted: float64 [0 to 1] Benjamini-Hochberg within pruner, without controls"""
        for floor, networks, interval in (
            ("retrain_floor", "networks of its seed that were only retrained", "of the paired t"),
            ("seed_floor", "dense networks of different seeds", "by jackknife pseudo-values"),
        )
    )


#: `# table: about`, `## keys`, then its columns in their order: those of `_SHARED` by name, in
#: braces those of several tables
_TABLES = f"""
# evaluations.parquet: Performance and density of every checkpoint
## dataset model pruner seed level split condition metric
study dataset model pruner seed level
split: str split of the data; empty in rows about weights
condition: str "clean" or "noisy"; empty in rows about weights
metric: str accuracy, balanced_accuracy, auroc, loss, density_prunable, density_all, bits, …
value: float64 [share, count or (loss) nats] its value

# scores.parquet: Every score of every image
## dataset model pruner seed level explainer condition metric image_id step
study dataset model pruner seed
level: int32 pruning level; 0 is the dense network
density bits explainer condition
target: int64 class that is explained
image_id: int64 id of the image in the original data set
label: int64 class of the image
predicted: int64 class that the network predicts
correct: bool whether the network predicts the class of the image
empty: bool whether the map is constant up to rounding, mostly all 0: it shows nothing
metric
step: int32 step of a metric with several; -1 for others
value: float64 [of the metric] the score

# levels.csv: Each metric at each level: mean, sd and median over images; accuracy and density
## dataset model pruner seed level explainer condition metric subset
dataset model pruner seed level explainer condition metric subset
checkpoint_pruner: str "dense" at level 0, which all pruners share, else the pruner
density bits
accuracy: float64 [share, 0 to 1; higher] over all images of the test split, same condition
n, undefined: int64 images with (without) a defined score
mean, sd, median: float64 [of the metric] over the n; sd is the spread of images
empty_share: float64 [share, 0 to 1] images whose map is empty: constant up to rounding
parameters, parameters_left: Int64 that predict, before and after removing fallen channels
multiply_adds, multiply_adds_left: Int64 [per image] before and after removing them
milliseconds, milliseconds_left: float64 [ms of CPU time per image] before and after, median

# curves.csv: Metrics with steps (ROAD, insertion, …): the mean over images at every step
## dataset model pruner seed level explainer condition metric step
dataset model pruner seed_or_mean level density
{_BITS}
explainer control condition metric
step: int64 0, 1, 2, …
axis_value: float64 [of the metric's axis] where the step lies
n_seeds
n, undefined: int64 images with (without) a defined score; in rows of means those of all networks
mean: float64 [of the metric] over the n; in rows of means over networks
low, high: float64 [of the metric] Student t interval over networks; rows of means

# contrasts.csv: Every level against the dense network of the same seed
## dataset model pruner level explainer condition metric subset
dataset model pruner level
explainer: str name of the explainer; empty in rows of the accuracy
control condition metric subset
{_CONTRAST}

# strata.csv: Contrasts among images that are hard, medium and easy for the dense network
## dataset model pruner level explainer condition metric subset
dataset model pruner level explainer control condition metric
subset: str thirds by the dense network's margin: hard, medium, easy; or "hard_minus_easy"
{_CONTRAST}

# correctness.csv: Correct against incorrect predictions, matched on the label
## dataset model pruner level explainer condition metric seed
dataset model pruner
level: str pruning level, or "all": the mean over levels that have both
explainer control condition metric seed_or_mean n_seeds
n_levels: int64 levels that enter; in rows of means the fewest of one network
density
{_BITS}; empty in rows over all levels
n_correct, n_incorrect: int64 images of labels that have both, summed over what enters
mean_correct, mean_incorrect: float64 [of the metric] matched on the label
difference: float64 [of the metric] of correct minus incorrect predictions
difference_low, difference_high: float64 [of the metric] t interval over networks; rows of means
difference_images_low, difference_images_high: float64 [of the metric] over images, these networks
effect_size seeds_up seeds_down p p_adjusted

# correlations.csv: Each metric with the accuracy over levels: every network, and their mean
## dataset model pruner explainer condition metric subset levels seed
dataset model pruner explainer condition metric subset
levels: str "all", or "density_at_least_…": without the collapse at the sparse end
control seed_or_mean n_seeds
n_levels: int64 levels that enter: those with a defined mean
pearson: float64 [-1 to 1] r of the mean over images with the accuracy; undefined if one is constant
spearman, kendall: float64 [-1 to 1] rank correlations of the same
first_difference: float64 [-1 to 1] Pearson r of the steps between successive levels
rank_partial: float64 [-1 to 1] rank correlation with the density held fixed
{_INTERVALS}
published_form: float64 [-1 to 1] Pearson r of series averaged over seeds first, as published
published_p: float64 [0 to 1] its p as if levels were independent, which they are not: no test
pearson_images_low, pearson_images_high: float64 [-1 to 1] over images, for these networks
spearman_images_low, spearman_images_high: float64 [-1 to 1] over images, for these networks
p: float64 [0 to 1] t test of pearson over networks against 0; rows of means
p_adjusted
empty_share: float64 [share, 0 to 1] empty maps, mean over the levels that enter
n_levels_shown: Int64 levels at which at most 10% of the maps are empty; of means the fewest
{_SHOWN}

# control_gaps.csv: Correlations with the accuracy minus those of each control, at shared levels
## dataset model pruner explainer control condition metric subset levels coefficient
dataset model pruner explainer
control: str name of the control
condition metric subset
levels: str as in correlations.csv
coefficient: str pearson, spearman, first_difference or rank_partial
n_seeds: int64 networks in which both coefficients are defined
n_levels: int64 the fewest levels of one of them
explainer_mean, control_mean: float64 [-1 to 1] mean coefficient over these networks
gap: float64 [-2 to 2] explainer minus control, paired by network
gap_low, gap_high: float64 [-2 to 2] t interval over networks, on Fisher's scale
effect_size seeds_up seeds_down p p_adjusted

# agreement.csv: Explanations against those of the dense parent, next to two floors
## dataset model pruner level explainer condition metric subset seed
dataset model pruner level explainer control condition metric subset seed_or_mean
reference: str compared with "dense_parent"; "seed_floor": dense networks of other seeds
density
{_BITS}
n_seeds: int64 networks with a defined value
n, undefined: int64 images (for the seed floor times other seeds) with (without) a defined value
mean: float64 [of the metric; higher] agreement; in rows of means over networks
low, high: float64 [of the metric] Student t interval over networks; rows of means
images_low, images_high: float64 [of the metric] over images, for these networks; rows of means
sd, median: float64 [of the metric] over the n
{_floors("of the metric")}

# exemplars.parquet: Images whose prediction pruning changes, and how far explanations moved before
## dataset model pruner condition image_id level explainer metric
dataset model pruner level
explainer: str name of the explainer; empty in rows about predictions alone
metric: str metric of agreement with the dense network; empty in the same rows
condition
image_id: int64 id of the image in the original data set
label: int64 class of the image
n_seeds
flipped: float64 [share, 0 to 1] networks whose prediction was not the dense network's by this level
flips: float64 [share, 0 to 1] networks for which this is the first such level
first_flips: str first such level by ascending seed, with semicolons between; empty: none
drift: float64 [of the metric] 1 minus the agreement at the level before, mean over networks

# class_harm.csv: The recall of every class, and its change against that of the accuracy
## dataset model pruner condition label level
dataset model pruner level condition
label: int64 class of the images
n_seeds
n_images: int64 test images of the class
recall: float64 [share, 0 to 1; higher] images of the class that are classified correctly
recall_low, recall_high: float64 [share, 0 to 1] Student t over networks, of its logit
change: float64 [share, -1 to 1] recall minus that at level 0 of the same network; empty at level 0
accuracy_change: float64 [share, -1 to 1] the same of the accuracy over all classes
relative_change: float64 [share, -2 to 2] change minus accuracy_change: below 0 the class is harmed
relative_change_low, relative_change_high: float64 [share, -2 to 2] interval of the paired t
effect_size seeds_up seeds_down p
p_adjusted: float64 [0 to 1] Benjamini-Hochberg within data set, model and pruner

# equal_accuracy.csv: Pruners where they have lost as much accuracy, interpolated between levels
## dataset model pruner explainer condition metric kind loss seed
dataset model pruner explainer control condition metric
kind: str "agreement" with the dense parent; "change": a metric minus that of the dense network
loss: float64 [share, 0 to 1] accuracy of the dense network of the same seed minus the pruned one's
seed_or_mean
n_seeds: int64 networks that are defined: the loss is first reached between two of their levels
of_seeds: int64 networks that were measured, whether or not they reach the loss
value: float64 [of the metric] agreement, or change; in rows of means over networks that are defined
low, high: float64 [of the metric] Student t interval over networks; rows of means
density: float64 [share, 0 to 1] prunable weights left there, interpolated in its logarithm
accuracy_apart: float64 [share, 0 to 1; lower] accuracy between the two levels; 0 at a level itself
retrain_floor: float64 [of the metric] agreement of networks that were only retrained, rewound alike
retrain_floor_low, retrain_floor_high: float64 [of the metric] Student t interval; rows of means
minus_retrain_floor: float64 [of the metric] the agreement minus that of its seed's floor
minus_retrain_floor_low, minus_retrain_floor_high: float64 [of the metric] interval of the paired t

# concepts.csv: What concept methods measure: difference to dense, drift next to two floors
## dataset model pruner level concept method kind measure class concept_label seed
dataset model pruner level concept method
kind: str "found" in the network, or "compared" with another network
measure: str name of the number
class, concept_label: str what it is about; empty for the network as a whole
direction, unit: str of the number; direction "higher", "lower" or empty
reference: str compared with "dense_parent" or "seed_floor"; empty where kind is "found"
seed_or_mean density
{_BITS}
n_seeds: int64 networks with a defined value
averaged_over: int64 numbers of classes or concepts that a row for the whole averages, else 1
value: float64 [see unit] the number; in rows of means over networks
low, high: float64 [see unit] Student t interval over networks; rows of means
difference: float64 [see unit] minus the dense network of the same seed
difference_low, difference_high: float64 [see unit] interval of the paired t; rows of means
difference_seeds: Int64 networks that have both
difference_p: float64 [0 to 1] two-sided, of the paired t
difference_p_adjusted: float64 [0 to 1] Benjamini-Hochberg within data set, model and pruner
{_floors("see unit")}

# concept_tables.csv: The most important concepts of every class, level and network
## dataset model concept method pruner seed class level
dataset model concept method pruner
seed: str seed of the network
class: str name of the class; empty where one order holds for all
level density
{_BITS}
{_TOP}
shared_top_3, shared_top_5: Int64 of the first 3 (5), how many the dense network has among its own

# concept_notes.csv: What concept methods note: concepts left out or merged, too few images
## dataset model concept method note
dataset model concept method
note: str the note
networks, of: int64 in how many of how many checkpoints

# sample_pruning.csv: Explainers on copies pruned for each image, against the network itself
## dataset model pruner level explainer sample_pruner against condition metric
dataset model pruner level density
{_BITS}
explainer: str name of the explainer, or "all": the mean over explainers
sample_pruner: str name of the sample pruner
against: str compared with the network itself ("unpruned"), or another sample pruner
condition metric n_seeds
n_images: int64 the fewest images of one network
mean, against_mean: float64 [of the metric] score of both, mean over images, then networks
difference: float64 [of the metric] the first minus the second, paired by image
difference_low, difference_high: float64 [of the metric] Student t interval over networks
images_low, images_high: float64 [of the metric] over images, for these networks
effect_size seeds_up seeds_down
images_up, images_down: float64 [share, 0 to 1] images whose difference is above (below) 0
p p_adjusted
same_prediction: float64 [share, 0 to 1; higher] copies that predict the class the network predicts
divergence: float64 [nats; lower] Kullback-Leibler, of the copy's output from the network's
probability_kept: float64 [ratio] probability of the explained class, copy to network
sparsity: float64 [share, 0 to 1] zeros among the weights of the layers that are pruned

# sample_pruning_toy.csv: A unit that responds to two regions of a plane, pruned for one of them
## seed scenario solver sparsity
seed
scenario: int64 region of the sample: 1 the larger, 2 the smaller
solver: str name of the solver; "dense" where nothing is pruned
sparsity: float64 [share, 0 to 1] weights that are removed
own_region, other_region, elsewhere: float64 [share, 0 to 1] where the activation lies
activation_on_sample: float64 mean activation on the sample
sample_positive: float64 [share, 0 to 1] points of the sample with a positive activation

# claims.csv: What the study claims: estimate, interval over networks and images, verdict
## name
name, claim, test: str of the claim
tier: str primary, secondary or exploratory
after: str the claim that must be decided first; empty without one
dataset model pruner explainer metric condition subset
statistic: str the quantity in words
published: float64 the study's own number for it
smallest: float64 the smallest effect that matters
because: str why it is the smallest that matters
holds_from, holds_to: float64 the claim is true where the quantity lies between; empty: no bound
estimate: float64 mean over networks and images
low, high: float64 interval at confidence 1 - alpha, for other networks and other images
alpha: float64 [0 to 1] level of the row: see docs/claims.md
df: float64 degrees of freedom of the interval
n_seeds: int64 networks with a value
n_images: Int64 images; 1 for a quantity of the network as a whole, empty where claims are pooled
per_seed: str values by ascending seed, with semicolons between; undefined ones are empty
se_networks, se_images, se_residual: float64 parts of the standard error; their squares add up
se_retrain: float64 standard error of the same quantity under a pruner that only retrains
p: float64 [0 to 1] two-sided, against the bound on which the claim hangs; not corrected
p_published, p_half_published: float64 [0 to 1] two-sided, against the published effect and half
p_equivalent: float64 [0 to 1] that the effect is at least the smallest that matters; not corrected
e_value: float64 evidence against the bound, for these images; valid at any number of networks
empty_share: float64 [share, 0 to 1; lower] largest share of empty maps at a level that counts
look: int64 number of the look at the data, from 1; 0 without looks
networks_needed, images_needed: Int64 that decide an open row alone, if estimate and variances stay
verdict: str see docs/claims.md
verdict_reason: str what would decide an open row, or why a claim is not testable here
remark: str what a reader needs to know

# costs.csv: Seconds, CPU seconds and memory of all jobs but statistics and figures
## rule study dataset model seed pruner level family
rule: str name of the rule
study dataset model
seed: Int64 seed of the network; empty where a job has none, as are its neighbours
pruner
level: Int64 pruning level
family: str family of explainers, or what else names the job
seconds: float64 [s; lower] wall-clock time
cpu_seconds: float64 [s; lower] of the job and its children; empty below half a second
max_rss_mb: float64 [MiB; lower] largest resident memory; empty below half a second
"""
_LINE = re.compile(
    r"(?P<names>[\w, ]+): (?P<dtype>\w+) (?:\[(?P<unit>[^\];]*)(?:; (\w+))?\] )?(.*)"
)


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes
    ----------
    dtype : "str" (may be empty, never undefined), "bool" ("true" or "false" in CSV), "int64" and
        "int32" (never empty), "Int64" and "float64" (an empty cell is undefined).
    unit : unit or range; "" where there is none.
    direction : "higher" or "lower" where one of them is better, else "".
    meaning : one line.
    """

    name: str
    dtype: str
    unit: str
    direction: str
    meaning: str


@dataclass(frozen=True)
class Table:
    """A table: `name` is that of the `file` in `summary/`, without its suffix (.csv or .parquet).

    `about` is one line, `keys` are the columns whose values name a row, and `columns` stand in the
    order of the file.
    """

    name: str
    file: str
    about: str
    keys: tuple[str, ...]
    columns: tuple[Column, ...]

    @property
    def names(self) -> list[str]:
        """Names of all columns, in their order."""
        return [column.name for column in self.columns]

    @cached_property
    def dtypes(self) -> dict[str, str]:
        """Column to dtype."""
        return {column.name: column.dtype for column in self.columns}

    def arrow_schema(self) -> "pa.Schema":
        """The columns as a parquet file holds them."""
        import pyarrow as pa

        types = {"str": pa.string(), "bool": pa.bool_(), "Int64": pa.int64()}
        return pa.schema([(name, types.get(dtype, dtype)) for name, dtype in self.dtypes.items()])


def _columns(line: str, shared: Mapping[str, Column]) -> Iterator[Column]:
    """The columns that a line defines or, without a colon, names."""
    if ":" not in line:
        yield from (shared[name] for name in line.split())
        return
    match = _LINE.fullmatch(line)
    assert match, line
    names, *facts = match.groups(default="")
    yield from (Column(name, *facts) for name in names.split(", "))


def _tables() -> Iterator[Table]:
    lines = _SHARED.strip().split("\n")
    shared = {column.name: column for line in lines for column in _columns(line, {})}
    shared["seed_or_mean"] = replace(shared["seed_or_mean"], name="seed")
    for part in _TABLES.strip().split("\n\n"):
        title, keys, *lines = part.split("\n")
        file, _, about = title.removeprefix("# ").partition(": ")
        columns = tuple(column for line in lines for column in _columns(line, shared))
        name = file.partition(".")[0]
        yield Table(name, file, about, tuple(keys.removeprefix("## ").split()), columns)


#: name to table
TABLES: dict[str, Table] = {table.name: table for table in _tables()}


def write(name: str, path: Path, frame: "pd.DataFrame") -> None:
    """Write the rows of a table atomically, with its columns in their order and types.

    `path` is a .csv or .parquet file. CSV has ten significant digits and empty cells for undefined
    values. An `InputError` where the frame lacks a column or has one that the table does not know.
    """
    from sparsight.io.tables import write_csv, write_table

    table, path = TABLES[name], Path(path)
    _check(table, path, frame.columns, "correct sparsight.analysis.tables or what is written")
    types = {column: dtype for column, dtype in table.dtypes.items() if dtype != "str"}
    frame = frame[table.names].astype(types)
    if path.suffix == ".parquet":
        import pyarrow as pa

        write_table(path, pa.Table.from_pandas(frame, table.arrow_schema(), preserve_index=False))
        return
    flags = {column: frame[column].map(_WORDS) for column, of in types.items() if of == "bool"}
    write_csv(path, frame.assign(**flags))


_WORDS = {True: "true", False: "false"}
#: what levels of earlier versions say of the removal of dead units
_FORMER = (
    "channels",
    "channels_left",
    "multiply_adds",
    "multiply_adds_left",
    "multiply_adds_nonzero",
    "milliseconds",
    "milliseconds_converted",
)
#: columns of the table of levels that say what the removal of whole channels saves
SAVINGS = TABLES["levels"].names[-6:]
#: tables that say of their rows how many bits the weights have, from their second version on
_ROUNDED = (
    *("scores", "contrasts", "strata", "correctness", "curves", "agreement"),
    *("concepts", "concept_tables", "sample_pruning"),
)
#: columns that tables of earlier versions lack, the committed references among them, and what was
#: so of all their rows
_LATER: dict[str, dict[str, float]] = {
    **{name: {"bits": FULL_BITS} for name in _ROUNDED},
    "levels": {"empty_share": math.nan, "bits": FULL_BITS, **dict.fromkeys(SAVINGS, math.nan)},
    "correlations": {
        column: math.nan
        for column in TABLES["correlations"].names
        if "shown" in column or "empty" in column
    },
}


def read(name: str, path: Path) -> "pd.DataFrame":
    """Read a table, from CSV or parquet, with the columns and dtypes that `TABLES` states.

    Text is never undefined: only an empty *number* is, and an explainer may be called "none". The
    columns that earlier versions did not write are undefined, and bits 32, where they lack. An
    `InputError` where the file is missing, or its columns are not those of the table; `CorruptFile`
    where it cannot be read as such a table.
    """
    table, path = TABLES[name], Path(path)
    if not path.is_file():
        raise InputError(f"{path} does not exist; run snakemake again to make it")
    if path.suffix == ".parquet":
        from sparsight.io.tables import read_table

        frame = read_table(path).to_pandas()
    else:
        frame = _parse(path, table.dtypes)
    if name == "levels" and "channels" in frame:
        frame = frame.drop(columns=[column for column in _FORMER if column in frame])
    for column, value in _LATER.get(name, {}).items():
        if column not in frame:
            frame[column] = value
    _check(table, path, frame.columns, remedy(path))
    texts = [column for column, dtype in table.dtypes.items() if dtype == "str"]
    try:
        whole: pd.DataFrame = frame[table.names].fillna(dict.fromkeys(texts, ""))
        return whole.astype(table.dtypes)
    except (ValueError, TypeError) as error:
        raise _corruption(path, error) from error


def _parse(path: Path, dtypes: Mapping[str, str]) -> "pd.DataFrame":
    import pandas as pd

    types = {name: "str" if dtype == "bool" else dtype for name, dtype in dtypes.items()}
    undefined = {name: [""] for name, dtype in types.items() if dtype != "str"}
    try:
        frame = pd.read_csv(path, dtype=types, keep_default_na=False, na_values=undefined)
    # pandas's errors of parsing and decoding are ValueErrors
    except ValueError as error:
        raise _corruption(path, error) from error
    for name in (name for name, dtype in dtypes.items() if dtype == "bool" and name in frame):
        if not frame[name].isin(_WORDS.values()).all():
            raise _corruption(path, f"'{name}' must be true or false")
        frame[name] = frame[name] == "true"
    return frame


def _corruption(path: Path, reason: object) -> CorruptFile:
    return CorruptFile(f"{path} is corrupt ({str(reason).splitlines()[0]}); {remedy(path)}")


def _check(table: Table, path: Path, found: Iterable[str], advice: str) -> None:
    names = set(found)
    missing = [name for name in table.names if name not in names]
    if missing:
        raise InputError(f"{path} has no column '{missing[0]}'; {advice}")
    unknown = sorted(names - set(table.names))
    if unknown:
        raise InputError(f"{path} has an unknown column '{unknown[0]}'; {advice}")


def join_values(values: Iterable[float]) -> str:
    """One value per seed in a cell: four digits, semicolons between; undefined ones are empty."""
    return ";".join("" if value != value else f"{value:.4g}" for value in values)


def split_values(cell: str) -> list[float]:
    """The values of a cell that `join_values` wrote, without the undefined ones."""
    return [float(part) for part in cell.split(";") if part]
