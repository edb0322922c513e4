"""Draw one metric step by step, a line for each level."""

from sparsight.io.job import job

with job(snakemake.log[0]):
    from pathlib import Path

    from sparsight.plots.step_curves import draw_step_curves

    draw_step_curves(
        Path(snakemake.input.curves),
        outputs=[Path(path) for path in snakemake.output],
        settings=snakemake.params.settings,
    )
