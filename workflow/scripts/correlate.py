"""Correlate metrics with accuracy over levels."""

from sparsight.io.job import job

with job(snakemake.log[0]):
    from pathlib import Path

    from sparsight.analysis.correlate import correlate

    correlate(
        levels=Path(snakemake.input.levels),
        output=Path(snakemake.output.correlations),
        settings=snakemake.params.settings,
    )
