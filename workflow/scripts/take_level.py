"""Take a level that another tool has made."""

from sparsight.io.gpu import gpu_slot
from sparsight.io.job import job

with job(snakemake.log[0]), gpu_slot(snakemake.resources.gpu, snakemake.resources.vram_mb):
    from pathlib import Path

    from sparsight.pruning.given import take_level
    from sparsight.pruning.rounds import start_job

    take_level(
        start_job(
            settings=snakemake.params.settings,
            wildcards=snakemake.wildcards,
            version=snakemake.params.version,
            splits=snakemake.input.splits,
            gpu=snakemake.resources.gpu,
        ),
        given=[Path(path) for path in snakemake.input.given],
        previous=Path(snakemake.input.previous),
        folder=Path(snakemake.output.checkpoint).parent,
    )
