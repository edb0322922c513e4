"""Gather evaluations and scores of a study."""

from sparsight.io.job import job

with job(snakemake.log[0]):
    from pathlib import Path

    from sparsight.analysis.summarise import summarise

    summarise(
        evaluations=[Path(path) for path in snakemake.input.evaluations],
        scores=[Path(path) for path in snakemake.input.scores],
        evaluations_table=Path(snakemake.output.evaluations),
        scores_table=Path(snakemake.output.scores),
        levels_table=Path(snakemake.output.levels),
        settings=snakemake.params.settings,
    )
