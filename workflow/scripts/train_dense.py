"""Train level 00."""

from sparsight.io.gpu import gpu_slot
from sparsight.io.job import job

with job(snakemake.log[0]), gpu_slot(snakemake.resources.gpu, snakemake.resources.vram_mb):
    from pathlib import Path

    from sparsight.pruning.rounds import start_job, train_dense

    train_dense(
        start_job(
            settings=snakemake.params.settings,
            wildcards=snakemake.wildcards,
            version=snakemake.params.version,
            splits=snakemake.input.splits,
            gpu=snakemake.resources.gpu,
        ),
        start=Path(snakemake.input.start),
        folder=Path(snakemake.output.checkpoint).parent,
    )
