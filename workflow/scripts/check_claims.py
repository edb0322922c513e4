"""Decide the claims of the study."""

from sparsight.io.job import job

with job(snakemake.log[0]):
    from pathlib import Path

    from sparsight.analysis.claims.decide import check_claims

    check_claims(
        statistics=[Path(path) for path in snakemake.input.statistics],
        output=Path(snakemake.output.claims),
        settings=snakemake.params.settings,
        concepts=[Path(path) for path in snakemake.input.concepts],
        orders=[Path(path) for path in snakemake.input.orders],
    )
