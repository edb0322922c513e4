"""Draw one metric against level and density."""

from sparsight.io.job import job

with job(snakemake.log[0]):
    from pathlib import Path

    from sparsight.plots.levels import draw_metric

    draw_metric(
        Path(snakemake.input.levels),
        outputs=[Path(path) for path in snakemake.output],
        settings=snakemake.params.settings,
    )
