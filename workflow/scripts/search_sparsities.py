"""Search the sparsities of a checkpoint's layers on calibration images."""

from sparsight.io.job import job

with job(snakemake.log[0]):
    from sparsight.spade.jobs import search_checkpoint

    search_checkpoint(
        snakemake.params.settings,
        calibration=snakemake.input.calibration,
        checkpoint=snakemake.input.checkpoint,
        output=snakemake.output.sparsities,
        gpu=snakemake.resources.gpu,
    )
