"""Hold explanations on pruned copies against those on the networks."""

from sparsight.io.job import job

with job(snakemake.log[0]):
    from pathlib import Path

    from sparsight.analysis.sample_pruning import summarise_sample_pruning

    summarise_sample_pruning(
        [Path(path) for path in snakemake.input.scores],
        [Path(path) for path in snakemake.input.fidelity],
        Path(snakemake.input.evaluations),
        Path(snakemake.output.table),
        snakemake.params.settings,
    )
