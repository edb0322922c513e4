"""Decide the claims of the study."""

from sparsight.io.job import job

with job(snakemake.log[0]):
    from pathlib import Path

    from sparsight.analysis.claims.decide import check_claims

    check_claims(
        scores=[Path(path) for path in snakemake.input.scores],
        predictions=[Path(path) for path in snakemake.input.predictions],
        evaluations=Path(snakemake.input.evaluations),
        output=Path(snakemake.output.claims),
        matrices={Path(path).stem: Path(path) for path in snakemake.output.matrices},
        settings=snakemake.params.settings,
        agreement=[Path(path) for path in snakemake.input.agreement],
        fidelities=[Path(path) for path in snakemake.input.fidelities],
        concepts=[Path(path) for path in snakemake.input.concepts],
        orders=[Path(path) for path in snakemake.input.orders],
    )
