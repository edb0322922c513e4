"""Compare a checkpoint's explanations of one family with those of its references."""

from sparsight.io.gpu import gpu_slot
from sparsight.io.job import job

with job(snakemake.log[0]), gpu_slot(snakemake.resources.gpu, snakemake.resources.vram_mb):
    from sparsight.metrics.run import score_checkpoint

    score_checkpoint(
        snakemake.params.settings,
        packed_test=snakemake.input.test,
        checkpoint=snakemake.input.checkpoint,
        predictions=snakemake.input.predictions,
        explanations=snakemake.input.explanations,
        references=snakemake.input.references,
        output=snakemake.output.agreement,
        wildcards=snakemake.wildcards,
        gpu=snakemake.resources.gpu,
        wanted=snakemake.params.entries,
    )
