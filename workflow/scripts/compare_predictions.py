"""Compare correct with incorrect predictions."""

from sparsight.io.job import job

with job(snakemake.log[0]):
    from pathlib import Path

    from sparsight.analysis.contrasts import compare_predictions

    compare_predictions(
        statistics=[Path(path) for path in snakemake.input.statistics],
        evaluations=Path(snakemake.input.evaluations),
        output=Path(snakemake.output.correctness),
        settings=snakemake.params.settings,
    )
