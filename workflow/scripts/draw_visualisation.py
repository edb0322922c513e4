"""Draw pictures of the classes that a trojan's stickers stand for."""

from sparsight.io.job import job

with job(snakemake.log[0]):
    from pathlib import Path

    from sparsight.plots.visualisation_sheet import draw_visualisations

    draw_visualisations(
        Path(snakemake.input.pictures),
        outputs=[Path(path) for path in snakemake.output],
        settings=snakemake.params.settings,
    )
