"""Pack a data set."""

from sparsight.io.job import job

with job(snakemake.log[0]):
    from sparsight.data.packing import prepare_dataset

    prepare_dataset(
        snakemake.params.settings,
        manifest=snakemake.input.manifest,
        ids=snakemake.output.ids,
        dataset=snakemake.wildcards.dataset,
    )
