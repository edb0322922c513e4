"""Helpers of the rules: the checked configuration, paths, inputs and params that need Python."""

import sys
from pathlib import Path

import sparsight
from snakemake.logging import logger
from snakemake.utils import update_config
from sparsight.io.errors import InputError
from sparsight.study.code_version import CodeVersion
from sparsight.study.configuration import (
    configuration_problems,
    normalised,
    with_defaults,
)
from sparsight.study.plan import DENSE, Study
from sparsight.study.problems import load_yaml
from sparsight.study.settings import RuleSettings

# Everything is found from this file's folder, so that the workflow also runs as a module of another.
WORKFLOW = Path(workflow.current_basedir).parent


def load_configuration(given):
    """The catalogue and defaults of config.yaml, overlaid with what was given; or leave."""
    try:
        whole = load_yaml(WORKFLOW.parent / "config.yaml")
        schema = load_yaml(WORKFLOW / "schemas" / "config.schema.yaml")
    except InputError as error:
        sys.exit(str(error))
    update_config(whole, given)
    whole = normalised(whole)
    problems = configuration_problems(whole, schema)
    if problems:
        sys.exit("\n".join(f"Configuration: {problem}" for problem in problems))
    return normalised(with_defaults(whole, schema, schema))


config = load_configuration(config)
STUDY = Study(config)
SETTINGS = RuleSettings(STUDY)
CODE = CodeVersion(WORKFLOW / "scripts", Path(sparsight.__file__).parents[1])

# ------------------------------------------------------------------------------------------ paths

DATA = config["data_folder"]
PACKED = f"{DATA}/packed/{{dataset}}"
SPLITS = ["train", "validation", "test"]
RESULTS = f"results/{STUDY.name}"
SUMMARY = f"{RESULTS}/summary"
FIGURES = f"{RESULTS}/figures"
NETWORK = f"{RESULTS}/{{dataset}}/{{model}}/seed{{seed}}"
LEVEL = f"{NETWORK}/{{pruner}}/level{{level}}"
CONTROLS = f"{RESULTS}/{{dataset}}/explanations/{{family}}.safetensors"
# Environment of --sdm conda; from the workflow's own folder, like everything else.
ENVIRONMENT = str(WORKFLOW.parent / "envs" / "sparsight.yaml")


def job_files(kind, rule, suffix):
    """Pattern of a log or benchmark file of a rule that works on one checkpoint."""
    return f"{RESULTS}/{kind}/{rule}/{{dataset}}__{{model}}__seed{{seed}}__{suffix}"


def one_of(names):
    """Regular expression of a wildcard that takes one of these names."""
    return "|".join(names) or "(?!)"


wildcard_constraints:
    dataset=one_of(config["datasets"]),
    model=one_of(config["models"]),
    pruner=one_of([DENSE, *config["pruners"]]),
    family=one_of(STUDY.families()),
    metric=one_of(config["metrics"]),
    seed=r"\d+",
    level=r"\d{2}",
    epoch=r"\d+",


# ---------------------------------------------------------------------------------- disk budget

try:
    STUDY.check_disk_budget()
except InputError as error:
    sys.exit(f"Configuration: {error}")
if workflow.is_main_process:
    logger.info(f"Stored explanations will take {STUDY.stored_bytes() / 1e9:.2f} GB.")


# ----------------------------------------------------------------------------------------- inputs


def place_path(pattern, place):
    """A checkpoint's path for a pattern with its wildcards."""
    return pattern.format(
        dataset=place.dataset,
        model=place.model,
        seed=place.seed,
        pruner=place.pruner,
        level=f"{place.level:02d}",
        family="{family}",
    )


def start_files(wildcards):
    """The files with the rewind points that a pruner's rounds need."""
    rewind = STUDY.catalogue["pruners"][wildcards.pruner]["rewind"]
    kind, _, epoch = rewind.partition(":")
    name = f"start_epoch{epoch}" if kind == "epoch" else "start"
    return f"{NETWORK}/{name}.safetensors".format_map(wildcards)


def previous_checkpoint(wildcards):
    """The level before; dense for the first level and for pruners that prune in one shot."""
    level = STUDY.predecessor(wildcards.pruner, int(wildcards.level))
    pruner = wildcards.pruner if level else DENSE
    folder = f"{NETWORK}/{pruner}/level{level:02d}".format_map(wildcards)
    return f"{folder}/checkpoint.safetensors"


def explanations(wildcards):
    """A checkpoint's explanations of a family; those of controls belong to the data set."""
    is_control = wildcards.family in STUDY.control_families()
    pattern = CONTROLS if is_control else f"{LEVEL}/explanations/{{family}}.safetensors"
    return pattern.format_map(wildcards)


def dense_predictions(wildcards):
    """The dense parent's predictions, where they are the explained classes."""
    if STUDY.explaining(wildcards.family)["target"] != "dense_predicted":
        return []
    return f"{NETWORK}/{DENSE}/level00/predictions.parquet".format_map(wildcards)


def evaluation_files(wildcards):
    """Evaluations of all checkpoints."""
    return [place_path(f"{LEVEL}/evaluation.json", place) for place in STUDY.places()]


def provenance_files(wildcards):
    """Provenances of all checkpoints."""
    return [place_path(f"{LEVEL}/provenance.json", place) for place in STUDY.places()]


def benchmark_files(wildcards):
    """What the jobs of all networks took."""
    rule_of = {True: "train_dense", False: "prune_level"}
    found = [
        place_path(rules.make_rewind_point.benchmark, p)
        for p in STUDY.places()
        if p.pruner == DENSE
    ]
    for place in STUDY.places():
        found.append(
            place_path(
                job_files(
                    "benchmarks",
                    rule_of[place.pruner == DENSE],
                    "{pruner}__level{level}.jsonl",
                ),
                place,
            )
        )
        for family in STUDY.families():
            if not STUDY.explains(family, place.level):
                continue
            names = ["score_explanations"]
            if family not in STUDY.control_families():
                names.append("explain_images")
            suffix = f"{{pruner}}__level{{level}}__{family}.jsonl"
            found.extend(
                place_path(job_files("benchmarks", name, suffix), place)
                for name in names
            )
    return found


def score_files(wildcards):
    """Scores of all checkpoints and of all families that are explained there."""
    return [
        place_path(f"{LEVEL}/scores/{family}.parquet", place)
        for place in STUDY.places()
        for family in STUDY.families()
        if STUDY.explains(family, place.level)
    ]


def sheet_places(wildcards):
    """The checkpoints in a sheet of heatmaps: one network, of the first seed, at some levels."""
    wanted = STUDY.sheet_levels(wildcards.pruner)
    return [
        place
        for place in STUDY.places()
        if (place.dataset, place.model) == (wildcards.dataset, wildcards.model)
        and place.seed == config["seeds"][0]
        and place.pruner in (DENSE, wildcards.pruner)
        and place.level in wanted
    ]


def sheet_evaluations(wildcards):
    """Evaluations of the checkpoints in a sheet."""
    return [
        place_path(f"{LEVEL}/evaluation.json", place)
        for place in sheet_places(wildcards)
    ]


def sheet_explanations(wildcards):
    """Explanations in a sheet, of all families that need a network."""
    return [
        place_path(f"{LEVEL}/explanations/{family}.safetensors", place)
        for place in sheet_places(wildcards)
        for family in STUDY.families()
        if family not in STUDY.control_families()
        and STUDY.explains(family, place.level)
    ]


def sheet_controls(wildcards):
    """Explanations of the controls of a data set."""
    return expand(CONTROLS, dataset=wildcards.dataset, family=STUDY.control_families())


def figure_files():
    """Every figure of the study, as svg and png."""
    networks = expand(
        "{dataset}__{model}", dataset=config["datasets"], model=config["models"]
    )
    # Where no level of a pruner is explained, there is no sheet.
    shown = [pruner for pruner in config["pruners"] if STUDY.sheet_levels(pruner)]
    names = [
        *(f"accuracy/{network}" for network in networks),
        *(
            f"metrics/{network}__{metric}"
            for network in networks
            for metric in config["metrics"]
        ),
        *(f"heatmaps/{network}__{pruner}" for network in networks for pruner in shown),
        *(f"correlations/{network}" for network in networks),
    ]
    return [f"{FIGURES}/{name}.{suffix}" for name in names for suffix in ("svg", "png")]


# ----------------------------------------------------------------------------------------- params


def settings_of(get, *names):
    """A params function: `get`, called with the job's wildcards of these names."""

    def settings(wildcards):
        values = [int(wildcards[n]) if n == "level" else wildcards[n] for n in names]
        return normalised(get(*values))

    return settings


def code_of(script, get=None, *names):
    """A params function: hash of a script and of the modules that `get` names for the wildcards."""

    def code(wildcards):
        modules = get(*(wildcards[name] for name in names)) if get else []
        return CODE(script, *modules)

    return code
