"""Find images that pruned networks forget, and classes that are harmed."""

from sparsight.io.job import job

with job(snakemake.log[0]):
    from pathlib import Path

    from sparsight.analysis.exemplars import find_exemplars

    find_exemplars(
        predictions=[Path(path) for path in snakemake.input.predictions],
        agreement=[Path(path) for path in snakemake.input.agreement],
        exemplars=Path(snakemake.output.exemplars),
        harm=Path(snakemake.output.harm),
        settings=snakemake.params.settings,
    )
