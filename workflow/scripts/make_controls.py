"""Make the control explanations of a data set."""

from sparsight.io.job import job

with job(snakemake.log[0]):
    from sparsight.explain.run import explain_checkpoint

    explain_checkpoint(
        snakemake.params.settings,
        packed_test=snakemake.input.test,
        output=snakemake.output.explanations,
        wanted=snakemake.params.entries,
    )
