"""Draw the concepts of a dense network next to those of a pruned one."""

from sparsight.io.job import job

with job(snakemake.log[0]):
    from pathlib import Path

    from sparsight.plots.concept_sheet import draw_concept_sheet

    found = snakemake.input
    draw_concept_sheet(
        dense=(Path(found.dense_ranking), Path(found.dense_arrays)),
        pruned=(Path(found.pruned_ranking), Path(found.pruned_arrays)),
        outputs=[Path(path) for path in snakemake.output],
        settings=snakemake.params.settings,
    )
