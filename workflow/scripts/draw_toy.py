"""Draw the two-dimensional toy."""

from sparsight.io.job import job

with job(snakemake.log[0]):
    from pathlib import Path

    from sparsight.plots.toy import draw_toy

    draw_toy(
        Path(snakemake.input.table),
        Path(snakemake.input.planes),
        outputs=[Path(path) for path in snakemake.output],
    )
