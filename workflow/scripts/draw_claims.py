"""Draw the table of claims, and write it for browsers."""

from sparsight.io.job import job

with job(snakemake.log[0]):
    from pathlib import Path

    from sparsight.plots.claims import draw_claims

    draw_claims(
        Path(snakemake.input.claims),
        figures=[Path(snakemake.output.svg), Path(snakemake.output.png)],
        page=Path(snakemake.output.html),
        settings=snakemake.params.settings,
    )
