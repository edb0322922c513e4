"""The command line is checked against the rules before Snakemake ignores what is misspelt in it.

Comes after all rules. In a module of another workflow the command line is that one's own.
"""

from snakemake_logger_plugin_sparsight.arguments import command_line
from sparsight.study.command_line import (
    check_folder_name,
    check_profile,
    check_resources,
    check_rules,
)


def is_file(name):
    """Whether a name on the command line is a file that is there, or that a rule makes."""
    path = name if os.path.isabs(name) else os.path.relpath(name)
    return os.path.exists(path) or any(r.is_producer(path) for r in workflow.rules)


def check_names(options):
    """Refuse rules, files and resources that there are not."""
    rules = {r.name for r in workflow.rules}
    check_rules(
        {
            "--set-threads": options.set_threads,
            "--set-resources": options.set_resources,
            "--groups": options.groups,
            "--batch": [options.batch.rulename] if options.batch else (),
            "--consider-ancient": options.consider_ancient,
            "--allowed-rules": options.allowed_rules or (),
            "--preemptible-rules": options.preemptible_rules or (),
        },
        rules,
    )
    check_rules(
        {
            "targets": options.targets,
            "--forcerun": options.forcerun,
            "--until": options.until,
            "--omit-from": options.omit_from,
            "--prioritize": options.prioritize,
        },
        rules,
        is_file,
        [
            str(path)
            for r in workflow.rules
            if not r.has_wildcards()
            for path in r.output
        ],
    )
    overwritten = options.set_resources
    asked = {
        name
        for r in workflow.rules
        for name in r.resources
        if name not in overwritten.get(r.name, ())
    }
    defaults = set(options.default_resources or ())
    limits = set(options.resources or ())
    far = options.executor not in (None, "local")
    each = {name for names in overwritten.values() for name in names}
    check_resources({"--set-resources": each}, asked | limits, far)
    check_resources(
        {"--default-resources": defaults}, (asked - defaults) | limits, True
    )
    check_resources({"--resources": limits}, asked | each, far)


def check_command_line(given):
    """Refuse what Snakemake would ignore: profiles, rules, files and resources, misspelt."""
    check_folder_name(Path.cwd())
    check_folder_name(WORKFLOW.parent)
    if given is not None:
        folders = [
            given.folder,
            given.folder / "profiles",
            WORKFLOW.parent / "profiles",
        ]
        check_profile("--workflow-profile", given.options.workflow_profile, folders)
        check_names(given.options)


if workflow.is_main_process and workflow.modifier.is_main_snakefile():
    try:
        check_command_line(command_line())
    except InputError as error:
        sys.exit(str(error))
