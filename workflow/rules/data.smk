"""Original files, and their packed form."""


rule fetch_dataset:
    """Find the original files of a data set, or download them, and verify their checksums."""
    output:
        manifest=f"{DATA}/fetched/{{dataset}}.json",
    log:
        f"{DATA}/logs/fetch_dataset__{{dataset}}.log",
    benchmark:
        f"{DATA}/benchmarks/fetch_dataset__{{dataset}}.jsonl"
    localrule: True
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(240),
    params:
        settings=settings_of(SETTINGS.fetching, "dataset"),
        version=version_of(
            "fetch_dataset.py", ["fetching"], SETTINGS.dataset_items, "dataset"
        ),
    script:
        "../scripts/fetch_dataset.py"


rule prepare_dataset:
    """Pack a data set: images, labels, masks, the noise of each image, the shared subset."""
    input:
        # Not `ancient`: with it, Snakemake (9.27) plans nothing but a changed fetching, and leaves
        # out all that lacks behind it until the next run.
        manifest=rules.fetch_dataset.output.manifest,
    output:
        splits=expand(
            f"{PACKED}/{{split}}.safetensors", split=SPLITS, allow_missing=True
        ),
        ids=f"{PACKED}/ids.parquet",
    log:
        f"{DATA}/logs/prepare_dataset__{{dataset}}.log",
    benchmark:
        f"{DATA}/benchmarks/prepare_dataset__{{dataset}}.jsonl"
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(60),
    params:
        settings=settings_of(SETTINGS.packing, "dataset"),
        version=version_of(
            "prepare_dataset.py", ["packing"], SETTINGS.dataset_items, "dataset"
        ),
    script:
        "../scripts/prepare_dataset.py"
