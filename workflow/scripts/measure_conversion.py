"""Remove the dead units of a chain's networks."""

from sparsight.io.job import job

with job(snakemake.log[0]):
    from sparsight.pruning.conversion import measure_conversion

    measure_conversion(
        {**dict(snakemake.wildcards.items()), **snakemake.params.settings},
        checkpoints=snakemake.input.checkpoints,
        packed_test=snakemake.input.test,
        output=snakemake.output.conversion,
    )
