"""Draw one method's measures and drift over levels, next to the floors."""

from sparsight.io.job import job

with job(snakemake.log[0]):
    from pathlib import Path

    from sparsight.plots.concepts import draw_concepts

    draw_concepts(
        Path(snakemake.input.concepts),
        outputs=[Path(path) for path in snakemake.output],
        settings=snakemake.params.settings,
    )
