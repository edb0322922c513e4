"""Score a checkpoint's explanations of one family."""

from sparsight.io.gpu import gpu_slot
from sparsight.io.job import job

with job(snakemake.log[0]), gpu_slot(snakemake.resources.gpu, snakemake.resources.vram_mb):
    from sparsight.metrics.run import score_checkpoint

    score_checkpoint(
        snakemake.params.settings,
        packed_test=snakemake.input.test,
        checkpoint=snakemake.input.checkpoint,
        predictions=snakemake.input.predictions,
        dense_predictions=snakemake.input.get("dense_predictions"),
        explanations=snakemake.input.explanations,
        output=snakemake.output.scores,
        wildcards=snakemake.wildcards,
        gpu=snakemake.resources.gpu,
        wanted=snakemake.params.entries,
    )
