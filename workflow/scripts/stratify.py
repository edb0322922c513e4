"""Hold levels against dense among hard, medium and easy images."""

from sparsight.io.job import job

with job(snakemake.log[0]):
    from pathlib import Path

    from sparsight.analysis.contrasts import stratify

    stratify(
        statistics=[Path(path) for path in snakemake.input.statistics],
        evaluations=Path(snakemake.input.evaluations),
        output=Path(snakemake.output.strata),
        settings=snakemake.params.settings,
    )
