"""Draw one metric of every level against the dense networks."""

from sparsight.io.job import job

with job(snakemake.log[0]):
    from pathlib import Path

    from sparsight.plots.contrasts import draw_contrasts

    draw_contrasts(
        Path(snakemake.input.contrasts),
        outputs=[Path(path) for path in snakemake.output],
        settings=snakemake.params.settings,
    )
