"""Hold every level against the dense networks."""

from sparsight.io.job import job

with job(snakemake.log[0]):
    from pathlib import Path

    from sparsight.analysis.contrasts import contrast

    contrast(
        statistics=[Path(path) for path in snakemake.input.statistics],
        evaluations=Path(snakemake.input.evaluations),
        output=Path(snakemake.output.contrasts),
        settings=snakemake.params.settings,
    )
