"""Draw accuracy against level and density."""

from sparsight.io.job import job

with job(snakemake.log[0]):
    from pathlib import Path

    from sparsight.plots.accuracy import draw_accuracy

    draw_accuracy(
        Path(snakemake.input.evaluations),
        outputs=[Path(path) for path in snakemake.output],
        settings=snakemake.params.settings,
    )
