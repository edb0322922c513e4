"""Find or download the original files of a data set."""

from sparsight.io.job import job

with job(snakemake.log[0]):
    from sparsight.data.packing import fetch_dataset

    fetch_dataset(snakemake.params.settings, snakemake.output.manifest)
