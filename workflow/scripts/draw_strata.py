"""Draw one metric against dense among hard, medium and easy images."""

from sparsight.io.job import job

with job(snakemake.log[0]):
    from pathlib import Path

    from sparsight.plots.contrasts import draw_strata

    draw_strata(
        Path(snakemake.input.strata),
        outputs=[Path(path) for path in snakemake.output],
        settings=snakemake.params.settings,
    )
