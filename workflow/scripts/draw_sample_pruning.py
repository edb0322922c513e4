"""Draw what pruning for the sample does to each explainer's scores."""

from sparsight.io.job import job

with job(snakemake.log[0]):
    from pathlib import Path

    from sparsight.plots.sample_pruning import draw_sample_pruning

    draw_sample_pruning(
        Path(snakemake.input.table),
        outputs=[Path(path) for path in snakemake.output],
        settings=snakemake.params.settings,
    )
