"""Make pictures of the classes that a trojan's stickers stand for."""

from sparsight.io.gpu import gpu_slot
from sparsight.io.job import job

with job(snakemake.log[0]), gpu_slot(snakemake.resources.gpu, snakemake.resources.vram_mb):
    from sparsight.spade.visualisation import visualise_checkpoint

    visualise_checkpoint(
        snakemake.params.settings,
        packed_test=snakemake.input.test,
        checkpoint=snakemake.input.checkpoint,
        sparsities=snakemake.input.get("sparsities"),
        output=snakemake.output.pictures,
        gpu=snakemake.resources.gpu,
    )
