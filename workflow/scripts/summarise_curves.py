"""Summarise the metrics that score several steps, step by step."""

from sparsight.io.job import job

with job(snakemake.log[0]):
    from pathlib import Path

    from sparsight.analysis.summarise import summarise_steps

    summarise_steps(
        scores=[Path(path) for path in snakemake.input.scores],
        evaluations=Path(snakemake.input.evaluations),
        output=Path(snakemake.output.curves),
        settings=snakemake.params.settings,
    )
