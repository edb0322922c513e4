"""Networks: the rewind point, the dense network, and the chain of levels."""


rule fetch_weights:
    """Find torchvision's ImageNet weights, or download them, and verify their checksum."""
    output:
        manifest=f"{DATA}/fetched/weights/{{weights}}.json",
    log:
        f"{DATA}/logs/fetch_weights__{{weights}}.log",
    benchmark:
        f"{DATA}/benchmarks/fetch_weights__{{weights}}.jsonl"
    localrule: True
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(60),
    params:
        settings=settings_of(SETTINGS.weights),
        version=version_of("fetch_weights.py", ["weights"]),
    script:
        "../scripts/fetch_weights.py"


rule make_rewind_point:
    """Initialise a network and pretrain it: the shared start of all its trainings."""
    input:
        splits=rules.prepare_dataset.output.splits,
        weights=initial_weights,
        pretraining=pretraining_splits,
    output:
        start=f"{NETWORK}/start.safetensors",
    log:
        job_files("logs", "make_rewind_point", "start.log"),
    benchmark:
        job_files("benchmarks", "make_rewind_point", "start.jsonl")
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(720),
        gpu=1,
        vram_mb=growing(4000),
    params:
        settings=settings_of(SETTINGS.start, "dataset", "model"),
        version=version_of(
            "make_rewind_point.py", ["training"], SETTINGS.network_items, "model"
        ),
    script:
        "../scripts/make_rewind_point.py"


rule make_epoch_point:
    """Train the start for k epochs: the rewind point of pruners with `rewind: epoch:k`."""
    input:
        splits=rules.prepare_dataset.output.splits,
        start=rules.make_rewind_point.output.start,
    output:
        start=f"{NETWORK}/start_epoch{{epoch}}.safetensors",
    log:
        job_files("logs", "make_epoch_point", "epoch{epoch}.log"),
    benchmark:
        job_files("benchmarks", "make_epoch_point", "epoch{epoch}.jsonl")
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(720),
        gpu=1,
        vram_mb=growing(4000),
    params:
        settings=settings_of(SETTINGS.epoch_point, "dataset", "model"),
        version=version_of(
            "make_epoch_point.py", ["training"], SETTINGS.network_items, "model"
        ),
    script:
        "../scripts/make_epoch_point.py"


rule train_dense:
    """Train level 00 from the start; all pruners share it."""
    input:
        splits=rules.prepare_dataset.output.splits,
        start=rules.make_rewind_point.output.start,
    output:
        checkpoint=f"{NETWORK}/{DENSE}/level00/checkpoint.safetensors",
        evaluation=f"{NETWORK}/{DENSE}/level00/evaluation.json",
        predictions=f"{NETWORK}/{DENSE}/level00/predictions.parquet",
        provenance=f"{NETWORK}/{DENSE}/level00/provenance.json",
    log:
        job_files("logs", "train_dense", f"{DENSE}__level00.log"),
    benchmark:
        job_files("benchmarks", "train_dense", f"{DENSE}__level00.jsonl")
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(720),
        gpu=1,
        vram_mb=growing(4000),
    params:
        settings=settings_of(SETTINGS.dense, "dataset", "model"),
        version=version_of(
            "train_dense.py", ["training"], SETTINGS.network_items, "model"
        ),
    script:
        "../scripts/train_dense.py"


rule prune_level:
    """Prune the level before, rewind, retrain under the mask, and check the invariants."""
    input:
        splits=rules.prepare_dataset.output.splits,
        start=start_files,
        previous=previous_checkpoint,
        teacher=teacher_checkpoint,
    output:
        checkpoint=f"{LEVEL}/checkpoint.safetensors",
        evaluation=f"{LEVEL}/evaluation.json",
        predictions=f"{LEVEL}/predictions.parquet",
        provenance=f"{LEVEL}/provenance.json",
    log:
        job_files("logs", "prune_level", "{pruner}__level{level}.log"),
    benchmark:
        job_files("benchmarks", "prune_level", "{pruner}__level{level}.jsonl")
    wildcard_constraints:
        pruner=one_of([name for name in config["pruners"] if not STUDY.is_given(name)]),
        level=r"(?!00)\d{2}",
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(720),
        gpu=1,
        vram_mb=growing(4000),
    params:
        settings=settings_of(SETTINGS.level, "dataset", "model", "pruner", "level"),
        version=version_of(
            "prune_level.py",
            ["training", "pruning"],
            SETTINGS.network_items,
            "model",
            "pruner",
        ),
    script:
        "../scripts/prune_level.py"


rule take_level:
    """Take a level that another tool has made: check it, evaluate it, and train nothing."""
    input:
        splits=rules.prepare_dataset.output.splits,
        given=given_files,
        previous=previous_checkpoint,
    output:
        checkpoint=f"{LEVEL}/checkpoint.safetensors",
        evaluation=f"{LEVEL}/evaluation.json",
        predictions=f"{LEVEL}/predictions.parquet",
        provenance=f"{LEVEL}/provenance.json",
    log:
        job_files("logs", "take_level", "{pruner}__level{level}.log"),
    benchmark:
        job_files("benchmarks", "take_level", "{pruner}__level{level}.jsonl")
    wildcard_constraints:
        pruner=one_of([name for name in config["pruners"] if STUDY.is_given(name)]),
        level=r"(?!00)\d{2}",
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(60),
        gpu=1,
        vram_mb=growing(4000),
    params:
        settings=settings_of(SETTINGS.given_level, "dataset", "model"),
        version=version_of(
            "take_level.py",
            ["training", "given"],
            SETTINGS.network_items,
            "model",
            "pruner",
        ),
    script:
        "../scripts/take_level.py"
