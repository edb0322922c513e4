"""Helpers of the rules: the checked configuration, paths, inputs and params that need Python."""

import inspect
import os
import sys
from pathlib import Path

import sparsight
from snakemake.logging import logger
from snakemake.utils import update_config
from sparsight.analysis.tables import FEWEST_LEVELS
from sparsight.data.packed_settings import PACKED_VARIABLE, settings_text
from sparsight.data.scans import SCANNED_VARIABLE, scans_text
from sparsight.data.settings import SPLITS
from sparsight.io.errors import InputError
from sparsight.io.files import COMMAND_VARIABLE, PACKAGE, command_to_repeat
from sparsight.study.configuration import catalogue_and_study, normalise, resolve
from sparsight.study.looks import reached_look, record_look
from sparsight.study.original_files import (
    data_warnings,
    environment_problems,
    original_file_problems,
    weights_problems,
)
from sparsight.study.methods import methods_of
from sparsight.study.plan import (
    DENSE,
    ConceptPlan,
    Place,
    Study,
    check_disk_budget,
    stored_bytes,
)
from sparsight.study.quick import assumptions, is_quick
from sparsight.study.report_pages import CATEGORIES, ReportSettings
from sparsight.study.settings import (
    ConceptSettings,
    FigureSettings,
    RuleSettings,
    SampleSettings,
    TableSettings,
)
from sparsight.study.stored_entries import StoredEntries
from sparsight.study.versions import CodeVersion, versions
from sparsight.study.yaml_files import load_yaml, typed_values

# Everything is found from this file's folder, so that the workflow also runs as a module of another.
WORKFLOW = Path(workflow.current_basedir).parent


def load_configuration(given):
    """The catalogue, overlaid with the study: that of config.yaml if none was given; or leave.

    Snakemake reads over faults in configuration files, which are refused here, and reads numbers
    inside of lists and mappings of `--config` as text.
    """
    settings, is_main = workflow.config_settings, workflow.modifier.is_main_snakefile()
    try:
        whole = catalogue_and_study(
            WORKFLOW.parent,
            own=bool(settings.configfiles) or not is_main or is_quick(given),
        )
        if is_main and workflow.is_main_process:
            for path in settings.configfiles:
                load_yaml(path)
        arguments = settings.config_args or () if is_main else ()
        typed = [{key: value} for key, value in typed_values(arguments, given)]
        for part in (given, *typed):
            update_config(whole, part)
        whole, problems = resolve(normalise(whole), reached_look)
    except InputError as error:
        sys.exit(str(error))
    except RecursionError:
        sys.exit("The configuration is nested too deeply; write it flatter.")
    if problems:
        sys.exit("\n".join(f"Configuration: {problem}" for problem in problems))
    return whole


config = load_configuration(config)
STUDY = Study(config)
SETTINGS = RuleSettings(STUDY)
TABLES = TableSettings(STUDY)
DRAWN = FigureSettings(STUDY)
PLAN = ConceptPlan(STUDY)
CONCEPTS = ConceptSettings(STUDY)
SAMPLES = SampleSettings(STUDY)
STORED = StoredEntries()
CODE = CodeVersion(WORKFLOW / "scripts", Path(sparsight.__file__).parents[1])

# ------------------------------------------------------------------------------------------ paths

DATA = config["data_folder"]
PACKED = f"{DATA}/packed/{{dataset}}"
RESULTS = f"results/{STUDY.name}"
SUMMARY = f"{RESULTS}/summary"
FIGURES = f"{RESULTS}/figures"
NETWORK = f"{RESULTS}/{{dataset}}/{{model}}/seed{{seed}}"
CHAIN = f"{NETWORK}/{{pruner}}"
LEVEL = f"{CHAIN}/level{{level}}"
CONTROLS = f"{RESULTS}/{{dataset}}/explanations/{{family}}.safetensors"
# A checkpoint's concepts by one method; tables and arrays add their endings.
FOUND = f"{LEVEL}/concepts/{{concept}}"
DRIFT = f"{LEVEL}/concept_drift/{{concept}}.parquet"
# Tables and figures of rules of your own, which `rule all` and the provenance take in.
MORE = []
# Environment of --sdm conda; from the workflow's own folder, like everything else.
ENVIRONMENT = str(WORKFLOW.parent / "envs" / "sparsight.yaml")


def job_files(kind, rule, suffix):
    """Pattern of a log or benchmark file of a rule that works on one checkpoint."""
    return f"{RESULTS}/{kind}/{rule}/{{dataset}}__{{model}}__seed{{seed}}__{suffix}"


def one_of(names):
    """Regular expression of a wildcard that takes one of these names."""
    return "|".join(names) or "(?!)"


wildcard_constraints:
    dataset=one_of(STUDY.prepared_datasets()),
    model=one_of(config["models"]),
    pruner=one_of([DENSE, *config["pruners"]]),
    family=one_of(STUDY.families()),
    concept=one_of(config["concepts"]),
    sample_pruner=one_of(config["sample_pruning"]["pruners"]),
    metric=one_of([*config["metrics"], *config["agreement"]]),
    seed=r"\d+",
    level=r"\d{2}",
    epoch=r"\d+",


# ------------------------------------------------------------------------------ packed data

# In every process, also those that run a job on another machine.
os.environ[PACKED_VARIABLE] = settings_text(
    {name: normalise(SETTINGS.packing(name)) for name in STUDY.prepared_datasets()}
)


if workflow.is_main_process:
    # What it has seen of the user's own images; jobs need not look again.
    os.environ[SCANNED_VARIABLE] = scans_text()

# ------------------------------------------------- disk budget, original files, agreement

try:
    check_disk_budget(STUDY)
except InputError as error:
    sys.exit(f"Configuration: {error}")
if workflow.is_main_process:
    wrong = [*environment_problems(), *weights_problems(STUDY, Path(RESULTS))]
    if wrong:
        sys.exit("\n".join(wrong))
    # What would run can be looked at without the data, so they are missed only by who runs it.
    MISSING = dict(original_file_problems(STUDY))
    for sentence in MISSING.values():
        logger.warning(f"Data: {sentence}")
    # A job that meets a damaged file names the command that remakes it.
    os.environ[COMMAND_VARIABLE] = command_to_repeat(sys.argv[1:])
    for warning in data_warnings(DATA, os.environ[PACKED_VARIABLE]):
        logger.warning(f"Data: {warning}")
    # The project's console reads the plan from here (src/snakemake_logger_plugin_sparsight).
    logger.info(
        f"Stored explanations will take {stored_bytes(STUDY) / 1e9:.2f} GB.",
        extra={
            "sparsight_workflow": workflow,
            "sparsight_config": config,
            "sparsight_stale": STORED.stale,
        },
    )
    if config["agreement"]:
        logger.info(STUDY.agreement_sentence())
    if STUDY.conditions_sentence():
        logger.info(STUDY.conditions_sentence())
    if assumed := assumptions(config):
        logger.info(assumed)


onstart:
    jobs = [
        job
        for job in workflow.dag.needrun_jobs()
        if job.rule.name == "fetch_dataset"
    ]
    wanted = [MISSING.get(job.wildcards.dataset) for job in jobs]
    if any(wanted):
        sys.exit(
            "\n".join(f"Data: {sentence}" for sentence in filter(None, wanted))
        )
    if STUDY.looks:
        record_look(config["looks"], Path(RESULTS))
    # A limit of jobs per second makes Snakemake look at all ready jobs again a second after each look,
    # so that looks add up until they take a core (snakemake pull request 3744). Its default of 100 jobs
    # limits nothing here; what a user sets stays.
    limit = workflow.scheduling_settings.max_jobs_per_timespan
    if limit and (limit.max_jobs, limit.timespan) == (100, 1):
        workflow.scheduler.job_rate_limiter = None


onerror:
    # Snakemake removes the output of a job that failed, and does not miss it while tables of an
    # earlier run are there: without this they would pass for tables of this one.
    failed = sorted(
        {job.rule.name for job in workflow.scheduler.failed if not job.is_group()}
    )
    if failed and Path(SUMMARY).is_dir():
        logger.error(
            f"{SUMMARY} has tables of an earlier run. After the repair, run the same command with "
            f"--forcerun {' '.join(failed)}"
        )


# ------------------------------------------------------------------------- functions of every job


def with_signature(function):
    """The function, with its signature kept: Snakemake asks each for it several times a job."""
    function.__signature__ = inspect.signature(function)
    return function


# -------------------------------------------------------------------------------------- resources


def growing(amount):
    """A resource that doubles with every attempt, for jobs that are killed for time or memory.

    `amount` is a number, or a function of the job's wildcards.
    """

    @with_signature
    def resource(wildcards, attempt):
        first = amount(wildcards) if callable(amount) else amount
        return first * 2 ** (attempt - 1)

    return resource


# ----------------------------------------------------------------------------------------- params


def settings_of(get, *names):
    """A params function: `get`, called with the job's wildcards of these names."""

    @with_signature
    def settings(wildcards):
        values = [int(wildcards[n]) if n == "level" else wildcards[n] for n in names]
        return normalise(get(*values))

    return settings


def version_of(script, stages, get=None, *names, apart=()):
    """A params function: versions of `stages` and of the items that `get` names for the wildcards.

    Items of the kinds `apart` are left out: entries of a file have them. With `track_code`, also the
    content hash of the script and of all items' modules.
    """

    @with_signature
    def version(wildcards):
        items = get(*(wildcards[name] for name in names)) if get else []
        found = versions(stages, [item for item in items if item.kind not in apart])
        if config["track_code"]:
            own = [stage for stage in stages if "." in stage]
            found["code"] = CODE(script, *own, *(item.module for item in items))
        return found

    return version
