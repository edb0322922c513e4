"""Draw a sheet of heatmaps."""

from sparsight.io.job import job

with job(snakemake.log[0]):
    from pathlib import Path

    from sparsight.plots.heatmaps import draw_heatmaps

    draw_heatmaps(
        Path(snakemake.input.test),
        evaluations=[Path(path) for path in snakemake.input.evaluations],
        explanations=[Path(path) for path in snakemake.input.explanations],
        controls=[Path(path) for path in snakemake.input.get("controls", [])],
        outputs=[Path(path) for path in snakemake.output],
        settings=snakemake.params.settings,
    )
