"""Draw one metric of correct minus incorrect predictions."""

from sparsight.io.job import job

with job(snakemake.log[0]):
    from pathlib import Path

    from sparsight.plots.contrasts import draw_correctness

    draw_correctness(
        Path(snakemake.input.correctness),
        outputs=[Path(path) for path in snakemake.output],
        settings=snakemake.params.settings,
    )
