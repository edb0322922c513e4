"""Draw the table of claims, and write it for browsers."""

from sparsight.io.job import job

with job(snakemake.log[0]):
    from pathlib import Path

    from sparsight.plots.claims import draw_claims
    from sparsight.plots.verdicts import write_verdicts

    draw_claims(
        Path(snakemake.input.claims),
        figures=[Path(snakemake.output.svg), Path(snakemake.output.png)],
        page=Path(snakemake.output.html),
        settings=snakemake.params.settings,
    )
    write_verdicts(
        Path(snakemake.input.claims),
        references=[Path(path) for path in snakemake.input.references],
        page=Path(snakemake.output.verdicts),
        settings=snakemake.params.settings,
    )
