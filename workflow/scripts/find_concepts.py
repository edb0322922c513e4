"""Find the concepts of one checkpoint with one method."""

from sparsight.io.gpu import gpu_slot
from sparsight.io.job import job

with job(snakemake.log[0]), gpu_slot(snakemake.resources.gpu, snakemake.resources.vram_mb):
    from sparsight.concepts.base import FindingsFiles
    from sparsight.concepts.run import find_concepts

    find_concepts(
        snakemake.params.settings,
        checkpoint=snakemake.input.checkpoint,
        features=snakemake.input.features,
        splits=snakemake.input.splits,
        bank=snakemake.input.bank,
        outputs=FindingsFiles(*snakemake.output),
        wildcards=snakemake.wildcards,
        gpu=snakemake.resources.gpu,
    )
