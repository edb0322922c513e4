"""Write the most important concepts of every class and level for browsers."""

from sparsight.io.job import job

with job(snakemake.log[0]):
    from pathlib import Path

    from sparsight.plots.pages import write_concept_tables

    write_concept_tables(
        Path(snakemake.input.tables),
        notes=Path(snakemake.input.notes),
        page=Path(snakemake.output.html),
        settings=snakemake.params.settings,
    )
