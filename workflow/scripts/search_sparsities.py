"""Search the sparsities of a checkpoint's layers on calibration images."""

from sparsight.io.gpu import gpu_slot
from sparsight.io.job import job

with job(snakemake.log[0]), gpu_slot(snakemake.resources.gpu, snakemake.resources.vram_mb):
    from sparsight.spade.search import search_checkpoint

    search_checkpoint(
        snakemake.params.settings,
        calibration=snakemake.input.calibration,
        checkpoint=snakemake.input.checkpoint,
        output=snakemake.output.sparsities,
        gpu=snakemake.resources.gpu,
    )
