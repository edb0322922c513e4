"""Gather what every job took."""

from sparsight.io.job import job

with job(snakemake.log[0]):
    from pathlib import Path

    from sparsight.analysis.costs import gather_costs

    gather_costs(
        benchmarks=[Path(path) for path in snakemake.input.benchmarks],
        output=Path(snakemake.output.costs),
        settings=snakemake.params.settings,
    )
