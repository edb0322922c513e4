"""Draw the correlations of metrics with accuracy."""

from sparsight.io.job import job

with job(snakemake.log[0]):
    from pathlib import Path

    from sparsight.plots.correlations import draw_correlations

    draw_correlations(
        Path(snakemake.input.correlations),
        outputs=[Path(path) for path in snakemake.output],
        settings=snakemake.params.settings,
    )
