"""Concepts: features once per checkpoint, one job per checkpoint and method, comparisons, tables."""


rule extract_features:
    """Send all images once through a checkpoint's network, for all its concept methods."""
    input:
        checkpoint=f"{LEVEL}/checkpoint.safetensors",
        splits=rules.prepare_dataset.output.splits,
        bank=bank_splits,
    output:
        features=f"{LEVEL}/features.safetensors",
    log:
        job_files("logs", "extract_features", "{pruner}__level{level}.log"),
    benchmark:
        job_files("benchmarks", "extract_features", "{pruner}__level{level}.jsonl")
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(120),
        gpu=1,
        vram_mb=growing(4000),
    params:
        settings=settings_of(CONCEPTS.features),
        version=version_of(
            "extract_features.py", ["features"], SETTINGS.network_items, "model"
        ),
    script:
        "../scripts/extract_features.py"


rule find_concepts:
    """Find the concepts of a checkpoint with one method, and measure them."""
    input:
        checkpoint=f"{LEVEL}/checkpoint.safetensors",
        features=f"{LEVEL}/features.safetensors",
        splits=rules.prepare_dataset.output.splits,
        bank=bank_splits,
    output:
        ranking=f"{FOUND}.parquet",
        measures=f"{FOUND}_measures.parquet",
        arrays=f"{FOUND}.safetensors",
    log:
        job_files("logs", "find_concepts", "{pruner}__level{level}__{concept}.log"),
    benchmark:
        job_files(
            "benchmarks", "find_concepts", "{pruner}__level{level}__{concept}.jsonl"
        )
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=growing(6000),
        runtime=growing(240),
        gpu=1,
        vram_mb=growing(4000),
    params:
        settings=settings_of(CONCEPTS.find, "concept"),
        version=version_of(
            "find_concepts.py", ["concepts"], CONCEPTS.find_items, "concept", "model"
        ),
    script:
        "../scripts/find_concepts.py"


rule compare_concepts:
    """Hold a checkpoint's concepts against those of its reference networks."""
    input:
        ranking=f"{FOUND}.parquet",
        measures=f"{FOUND}_measures.parquet",
        arrays=f"{FOUND}.safetensors",
        reference_rankings=reference_findings(".parquet"),
        reference_measures=reference_findings("_measures.parquet"),
        reference_arrays=reference_findings(".safetensors"),
    output:
        drift=DRIFT,
    log:
        job_files("logs", "compare_concepts", "{pruner}__level{level}__{concept}.log"),
    benchmark:
        job_files(
            "benchmarks", "compare_concepts", "{pruner}__level{level}__{concept}.jsonl"
        )
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(60),
    params:
        settings=settings_of(
            CONCEPTS.compare, "dataset", "model", "seed", "pruner", "level", "concept"
        ),
        version=version_of(
            "compare_concepts.py", ["concepts"], CONCEPTS.compare_items, "concept"
        ),
    script:
        "../scripts/compare_concepts.py"


rule summarise_concepts:
    """Summarise concepts over networks, next to their floors, and list the most important ones."""
    input:
        measures=concept_files(f"{FOUND}_measures.parquet"),
        drift=drift_files(),
        rankings=concept_files(f"{FOUND}.parquet"),
        evaluations=f"{SUMMARY}/evaluations.parquet",
    output:
        concepts=f"{SUMMARY}/concepts.csv",
        tables=f"{SUMMARY}/concept_tables.csv",
        notes=f"{SUMMARY}/concept_notes.csv",
    log:
        f"{RESULTS}/logs/summarise_concepts.log",
    benchmark:
        f"{RESULTS}/benchmarks/summarise_concepts.jsonl"
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(120),
    params:
        settings=settings_of(CONCEPTS.summary),
        version=version_of("summarise_concepts.py", ["concepts_table"]),
    script:
        "../scripts/summarise_concepts.py"
