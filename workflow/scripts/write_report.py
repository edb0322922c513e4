"""Write the pages of the report."""

from sparsight.io.job import job

with job(snakemake.log[0]):
    from pathlib import Path

    from sparsight.plots.report import write_report

    pages = Path(snakemake.output.pages)
    write_report(
        pages,
        figures=pages.parent / "figures",
        tables_in=pages.parent / "summary",
        settings=snakemake.params.settings,
    )
