"""Explain the shared images of a checkpoint with one family."""

from sparsight.io.gpu import gpu_slot
from sparsight.io.job import job

with job(snakemake.log[0]), gpu_slot(snakemake.resources.gpu, snakemake.resources.vram_mb):
    from sparsight.explain.run import explain_checkpoint

    explain_checkpoint(
        snakemake.params.settings,
        packed_test=snakemake.input.test,
        checkpoint=snakemake.input.checkpoint,
        predictions=snakemake.input.predictions,
        dense_predictions=snakemake.input.get("dense_predictions"),
        output=snakemake.output.explanations,
        gpu=snakemake.resources.gpu,
        wanted=snakemake.params.entries,
    )
