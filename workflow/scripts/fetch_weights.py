"""Find or download torchvision's ImageNet weights of an architecture."""

from sparsight.io.job import job

with job(snakemake.log[0]):
    from sparsight.models.weights import fetch_weights

    fetch_weights(
        snakemake.wildcards.weights,
        snakemake.params.settings["data_folder"],
        snakemake.output.manifest,
    )
