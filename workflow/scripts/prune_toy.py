"""Prune the two-dimensional toy for a sample from each region."""

from sparsight.io.job import job

with job(snakemake.log[0]):
    from sparsight.spade.toy import prune_toy

    prune_toy(
        snakemake.params.settings,
        table=snakemake.output.table,
        planes=snakemake.output.planes,
    )
