"""Summarise concepts over networks, and list the most important ones of every class."""

from sparsight.io.job import job

with job(snakemake.log[0]):
    from pathlib import Path

    from sparsight.analysis.concepts import summarise_concepts

    summarise_concepts(
        measures=[Path(path) for path in snakemake.input.measures],
        drift=[Path(path) for path in snakemake.input.drift],
        rankings=[Path(path) for path in snakemake.input.rankings],
        evaluations=Path(snakemake.input.evaluations),
        concepts=Path(snakemake.output.concepts),
        tables=Path(snakemake.output.tables),
        notes=Path(snakemake.output.notes),
        settings=snakemake.params.settings,
    )
