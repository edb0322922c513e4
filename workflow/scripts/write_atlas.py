"""Write the atlas of the study."""

from sparsight.io.job import job

with job(snakemake.log[0]):
    from pathlib import Path

    from sparsight.atlas.write import Files, write_atlas

    settings = snakemake.params.settings
    given = dict(snakemake.input.items())
    evaluations = Path(given.pop("evaluations"))
    lists = {name: [Path(path) for path in paths] for name, paths in given.items()}
    write_atlas(Files.of(settings, evaluations, **lists), Path(snakemake.output.page), settings)
