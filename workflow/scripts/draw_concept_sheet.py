"""Draw the concepts of a dense network beside those of a pruned one."""

from sparsight.io.job import job

with job(snakemake.log[0]):
    from pathlib import Path

    from sparsight.plots.concept_sheet import draw_concept_sheet

    draw_concept_sheet(
        dense=Path(snakemake.input.dense),
        pruned=Path(snakemake.input.pruned),
        outputs=[Path(path) for path in snakemake.output],
        settings=snakemake.params.settings,
    )
