"""Summarise the agreement of explanations over networks."""

from sparsight.io.job import job

with job(snakemake.log[0]):
    from pathlib import Path

    from sparsight.analysis.agreement import summarise_agreement

    summarise_agreement(
        agreement=[Path(path) for path in snakemake.input.agreement],
        evaluations=Path(snakemake.input.evaluations),
        output=Path(snakemake.output.agreement),
        settings=snakemake.params.settings,
    )
