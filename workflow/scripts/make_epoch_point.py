"""Train the start for k epochs."""

from sparsight.io.gpu import gpu_slot
from sparsight.io.job import job

with job(snakemake.log[0]), gpu_slot(snakemake.resources.gpu, snakemake.resources.vram_mb):
    from pathlib import Path

    from sparsight.pruning.rounds import make_epoch_point, start_job

    make_epoch_point(
        start_job(
            settings=snakemake.params.settings,
            wildcards=snakemake.wildcards,
            version=snakemake.params.version,
            splits=snakemake.input.splits,
            gpu=snakemake.resources.gpu,
        ),
        start=Path(snakemake.input.start),
        epoch=int(snakemake.wildcards.epoch),
        output=Path(snakemake.output.start),
    )
