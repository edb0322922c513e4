"""Files of entries, which a job updates: maps of explainers, scores of metrics, agreement.

Snakemake compares what all entries of a file share (`settings`, `version`). The entries themselves are in
params that it does not compare: whether one is missing or out of date is seen in the file, when the
job enters the plan, and such a file is forced.
"""

from functools import cache

from sparsight.study.stored_entries import (
    EVERYTHING,
    FORCED_VARIABLE,
    mark_forced,
    wanted_entries,
)

# A prefix, where this is a module of another workflow.
MODIFY = workflow.modifier.path_modifier.modify


@cache
def tell_jobs_what_is_forced():
    """A job computes anew what the user forces, and not what this file forces."""
    chosen = workflow.dag_settings
    names = [*chosen.forcerun, *(chosen.targets if chosen.forcetargets else [])]
    os.environ[FORCED_VARIABLE] = "\n".join(
        [EVERYTHING] if chosen.forceall else sorted(map(str, names))
    )


class Updated:
    """A file of entries: its params, and the check of what it holds.

    `settings` and `version` are params functions, `entries` is called with the values of `names`,
    `inputs` are patterns or input functions by name, `maps` is an input function.
    """

    def __init__(
        self, rule, output, settings, version, entries, names, inputs, maps=None
    ):
        self.output, self.settings, self.version = output, settings, version

        @cache
        def of(values):
            return entries(*values)

        def paths_of(made, wildcards):
            made = made(wildcards) if callable(made) else made.format_map(wildcards)
            paths = [made] if isinstance(made, str) else made
            return [str(MODIFY(path)) for path in paths]

        @with_signature
        def entries_of(wildcards):
            found = wanted_entries(
                of(tuple(wildcards[name] for name in names)),
                settings(wildcards),
                version(wildcards),
            )
            return mark_forced(found, rule, *paths_of(output, wildcards))

        @with_signature
        def check(wildcards):
            (path,) = paths_of(output, wildcards)
            if not workflow.is_main_process:
                return []
            tell_jobs_what_is_forced()
            if os.path.exists(path):
                files = {
                    name: paths_of(made, wildcards) for name, made in inputs.items()
                }
                files = {name: paths[0] for name, paths in files.items() if paths}
                explained = paths_of(maps, wildcards) if maps else ()
                if STORED.is_stale(path, entries_of(wildcards), files, explained):
                    workflow.dag.forcefiles.add(path)
            return []

        self.entries, self.check = entries_of, check
