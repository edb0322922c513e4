"""Sample-targeted pruning (SPADE): sparsities, explanations on pruned copies, their table, figure."""

COPIES_MAPS = Updated(
    "explain_pruned_samples",
    output=f"{LEVEL}/explanations/{{family}}.safetensors",
    settings=settings_of(SAMPLES.explain, "family", "dataset", "model"),
    version=version_of(
        "explain_pruned_samples.py",
        ["explaining", "sample_pruning"],
        SAMPLES.explain_items,
        "family",
        "dataset",
        "model",
        apart=["explainer"],
    ),
    entries=SETTINGS.explain_entries,
    names=["family", "dataset", "model"],
    inputs={
        "test": f"{PACKED}/test.safetensors",
        "checkpoint": f"{LEVEL}/checkpoint.safetensors",
        "predictions": f"{LEVEL}/predictions.parquet",
        "dense_predictions": dense_predictions,
        "sparsities": searched_sparsities,
    },
)


rule search_sparsities:
    """Search the sparsities of a checkpoint's layers on calibration images."""
    input:
        calibration=calibration_split,
        checkpoint=f"{LEVEL}/checkpoint.safetensors",
    output:
        sparsities=SPARSITIES,
    log:
        job_files(
            "logs", "search_sparsities", "{pruner}__level{level}__{sample_pruner}.log"
        ),
    benchmark:
        job_files(
            "benchmarks",
            "search_sparsities",
            "{pruner}__level{level}__{sample_pruner}.jsonl",
        )
    wildcard_constraints:
        sample_pruner=one_of(SAMPLES.searching_pruners()),
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=growing(pruning_memory),
        runtime=growing(240),
        gpu=1,
        vram_mb=growing(pruning_memory),
    params:
        settings=settings_of(SAMPLES.search, "sample_pruner"),
        version=version_of(
            "search_sparsities.py",
            ["sparsity_search", "sample_pruning"],
            SAMPLES.search_items,
            "sample_pruner",
            "model",
        ),
    script:
        "../scripts/search_sparsities.py"


rule explain_pruned_samples:
    """Explain the shared images of a checkpoint, each on a copy that is pruned for it."""
    input:
        test=f"{PACKED}/test.safetensors",
        checkpoint=f"{LEVEL}/checkpoint.safetensors",
        predictions=f"{LEVEL}/predictions.parquet",
        dense_predictions=dense_predictions,
        sparsities=searched_sparsities,
        stale=COPIES_MAPS.check,
    output:
        explanations=update(COPIES_MAPS.output),
        fidelity=update(FIDELITY),
    log:
        job_files(
            "logs", "explain_pruned_samples", "{pruner}__level{level}__{family}.log"
        ),
    benchmark:
        job_files(
            "benchmarks",
            "explain_pruned_samples",
            "{pruner}__level{level}__{family}.jsonl",
        )
    wildcard_constraints:
        family=one_of(STUDY.sample_families()),
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=growing(pruning_memory),
        runtime=growing(480),
        gpu=1,
        vram_mb=growing(pruning_memory),
    params:
        settings=COPIES_MAPS.settings,
        version=COPIES_MAPS.version,
        entries=COPIES_MAPS.entries,
    script:
        "../scripts/explain_pruned_samples.py"


rule summarise_sample_pruning:
    """Hold explanations on pruned copies against those on the networks, image by image."""
    input:
        scores=paired_scores,
        fidelity=fidelity_files,
        evaluations=f"{SUMMARY}/evaluations.parquet",
    output:
        table=f"{SUMMARY}/sample_pruning.csv",
    log:
        f"{RESULTS}/logs/summarise_sample_pruning.log",
    benchmark:
        f"{RESULTS}/benchmarks/summarise_sample_pruning.jsonl"
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(60),
    params:
        settings=settings_of(SAMPLES.summary),
        version=version_of("summarise_sample_pruning.py", ["sample_pruning_table"]),
    script:
        "../scripts/summarise_sample_pruning.py"


rule draw_sample_pruning:
    """Draw what pruning for the sample does to each explainer's scores."""
    input:
        table=rules.summarise_sample_pruning.output.table,
    output:
        svg=f"{FIGURES}/sample_pruning/{{dataset}}__{{model}}.svg",
        png=f"{FIGURES}/sample_pruning/{{dataset}}__{{model}}.png",
    log:
        f"{RESULTS}/logs/draw_sample_pruning/{{dataset}}__{{model}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/draw_sample_pruning/{{dataset}}__{{model}}.jsonl"
    localrule: True
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(30),
    params:
        settings=settings_of(SAMPLES.figure, "dataset", "model"),
        version=version_of("draw_sample_pruning.py", ["figure_sample_pruning"]),
    script:
        "../scripts/draw_sample_pruning.py"
