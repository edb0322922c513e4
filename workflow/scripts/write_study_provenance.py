"""Write where the tables of a study come from."""

from sparsight.io.job import job

with job(snakemake.log[0]):
    from pathlib import Path

    from sparsight.analysis.provenance import write_study_provenance

    write_study_provenance(
        provenances=[Path(path) for path in snakemake.input.provenances],
        files=[Path(path) for path in snakemake.input.files],
        output=Path(snakemake.output.provenance),
        settings=snakemake.params.settings,
        version=snakemake.params.version,
        study_files=[Path(path) for path in snakemake.input.study_files],
    )
