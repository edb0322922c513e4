"""Write the guide to the report."""

from sparsight.io.job import job

with job(snakemake.log[0]):
    from pathlib import Path

    from sparsight.plots.pages import write_guide

    write_guide(Path(snakemake.output.html), settings=snakemake.params.settings)
