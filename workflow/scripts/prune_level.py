"""Prune, rewind and retrain one level."""

from sparsight.io.gpu import gpu_slot
from sparsight.io.job import job

with job(snakemake.log[0]), gpu_slot(snakemake.resources.gpu, snakemake.resources.vram_mb):
    from pathlib import Path

    from sparsight.pruning.rounds import prune_level, start_job

    prune_level(
        start_job(
            settings=snakemake.params.settings,
            wildcards=snakemake.wildcards,
            version=snakemake.params.version,
            splits=snakemake.input.splits,
            gpu=snakemake.resources.gpu,
        ),
        start=Path(snakemake.input.start),
        previous=Path(snakemake.input.previous),
        folder=Path(snakemake.output.checkpoint).parent,
        teacher=Path(snakemake.input.teacher) if snakemake.input.teacher else None,
    )
