"""Describe a chain by subset and resample its images."""

from sparsight.io.job import job

with job(snakemake.log[0]):
    from sparsight.analysis.resample import resample_chain

    resample_chain(
        scores=snakemake.input.scores,
        predictions=snakemake.input.predictions,
        dense_predictions=snakemake.input.dense_predictions,
        output=snakemake.output.statistics,
        settings={**dict(snakemake.wildcards.items()), **snakemake.params.settings},
    )
