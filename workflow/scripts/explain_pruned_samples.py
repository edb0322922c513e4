"""Explain the shared images of a checkpoint with one family, on copies pruned for each."""

from sparsight.io.gpu import gpu_slot
from sparsight.io.job import job

with job(snakemake.log[0]), gpu_slot(snakemake.resources.gpu, snakemake.resources.vram_mb):
    from sparsight.spade.run import explain_samples

    explain_samples(
        snakemake.params.settings,
        packed_test=snakemake.input.test,
        checkpoint=snakemake.input.checkpoint,
        predictions=snakemake.input.predictions,
        dense_predictions=snakemake.input.get("dense_predictions"),
        sparsities=snakemake.input.get("sparsities"),
        output=snakemake.output.explanations,
        fidelity=snakemake.output.fidelity,
        wildcards=snakemake.wildcards,
        gpu=snakemake.resources.gpu,
        wanted=snakemake.params.entries,
    )
