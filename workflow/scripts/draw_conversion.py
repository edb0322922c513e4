"""Draw what removing dead units saves."""

from sparsight.io.job import job

with job(snakemake.log[0]):
    from pathlib import Path

    from sparsight.plots.conversion import draw_conversion

    draw_conversion(
        Path(snakemake.input.levels),
        outputs=[Path(path) for path in snakemake.output],
        settings=snakemake.params.settings,
    )
