"""Call `run` of the module that a rule of your own names as its stage."""

from sparsight.io.job import job

with job(snakemake.log[0]):
    from importlib import import_module
    from pathlib import Path

    # With `track_code` there is a hash behind it.
    stage = next(iter(snakemake.params.version))
    files = [*snakemake.input.items(), *snakemake.output.items()]
    import_module(stage).run(
        **{name: Path(path) for name, path in files},
        settings=snakemake.params.settings,
    )
