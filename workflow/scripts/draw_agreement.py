"""Draw agreement with the dense network over levels, next to its floors."""

from sparsight.io.job import job

with job(snakemake.log[0]):
    from pathlib import Path

    from sparsight.plots.agreement import draw_agreement

    draw_agreement(
        Path(snakemake.input.agreement),
        outputs=[Path(path) for path in snakemake.output],
        settings=snakemake.params.settings,
    )
