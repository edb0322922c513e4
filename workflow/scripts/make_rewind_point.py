"""Make the shared start of a network's trainings."""

from sparsight.io.gpu import gpu_slot
from sparsight.io.job import job

with job(snakemake.log[0]), gpu_slot(snakemake.resources.gpu, snakemake.resources.vram_mb):
    from pathlib import Path

    from sparsight.pruning.rounds import make_rewind_point, start_job

    make_rewind_point(
        start_job(
            settings=snakemake.params.settings,
            wildcards=snakemake.wildcards,
            version=snakemake.params.version,
            splits=snakemake.input.splits,
            gpu=snakemake.resources.gpu,
        ),
        Path(snakemake.output.start),
        weights=Path(snakemake.input.weights) if snakemake.input.weights else None,
        pretraining=snakemake.input.pretraining,
    )
