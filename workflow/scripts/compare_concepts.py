"""Compare a checkpoint's concepts with those of its reference networks."""

from sparsight.io.job import job

with job(snakemake.log[0]):
    from sparsight.concepts.base import FindingsFiles
    from sparsight.concepts.run import compare_concepts

    found = snakemake.input
    references = zip(
        found.reference_rankings, found.reference_measures, found.reference_arrays, strict=True
    )
    compare_concepts(
        snakemake.params.settings,
        own=FindingsFiles(found.ranking, found.measures, found.arrays),
        references=[FindingsFiles(*files) for files in references],
        output=snakemake.output.drift,
    )
