"""Correlate every metric with accuracy over pruning levels."""

from sparsight.io.job import job

with job(snakemake.log[0]):
    from pathlib import Path

    from sparsight.analysis.correlate import correlate

    correlate(
        levels=Path(snakemake.input.levels),
        statistics=[Path(path) for path in snakemake.input.statistics],
        output=Path(snakemake.output.correlations),
        gaps=Path(snakemake.output.gaps),
        settings=snakemake.params.settings,
    )
