"""Draw all correlations of metrics with accuracy as a table."""

from sparsight.io.job import job

with job(snakemake.log[0]):
    from pathlib import Path

    from sparsight.plots.correlations import draw_correlation_table

    draw_correlation_table(
        Path(snakemake.input.correlations),
        outputs=[Path(path) for path in snakemake.output],
        settings=snakemake.params.settings,
    )
