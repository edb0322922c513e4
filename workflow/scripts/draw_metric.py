"""Draw one metric over pruning levels, by family of explainers."""

from sparsight.io.job import job

with job(snakemake.log[0]):
    from pathlib import Path

    from sparsight.plots.metric import draw_metric

    draw_metric(
        Path(snakemake.input.levels),
        Path(snakemake.input.contrasts),
        outputs=[Path(path) for path in snakemake.output],
        settings=snakemake.params.settings,
    )
