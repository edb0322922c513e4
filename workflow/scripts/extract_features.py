"""Extract the features that all concept methods of a checkpoint share."""

from sparsight.io.gpu import gpu_slot
from sparsight.io.job import job

with job(snakemake.log[0]), gpu_slot(snakemake.resources.gpu, snakemake.resources.vram_mb):
    from sparsight.concepts.run import extract_checkpoint

    extract_checkpoint(
        snakemake.params.settings,
        checkpoint=snakemake.input.checkpoint,
        splits=snakemake.input.splits,
        bank=snakemake.input.bank,
        output=snakemake.output.features,
        gpu=snakemake.resources.gpu,
    )
