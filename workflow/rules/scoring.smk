"""Scores: one job per checkpoint and family computes all metrics."""

SCORES = Updated(
    "score_explanations",
    output=f"{LEVEL}/scores/{{family}}.parquet",
    settings=settings_of(SETTINGS.score, "family", "dataset", "model"),
    version=version_of(
        "score_explanations.py",
        ["scoring"],
        SETTINGS.score_items,
        "family",
        "dataset",
        "model",
        apart=["explainer", "metric"],
    ),
    entries=SETTINGS.score_entries,
    names=["family", "dataset", "model"],
    inputs={
        "test": f"{PACKED}/test.safetensors",
        "checkpoint": f"{LEVEL}/checkpoint.safetensors",
        "predictions": f"{LEVEL}/predictions.parquet",
        "dense_predictions": dense_predictions,
    },
    maps=explanations,
)


rule score_explanations:
    """Score a checkpoint's explanations of a family with all metrics."""
    input:
        test=f"{PACKED}/test.safetensors",
        checkpoint=f"{LEVEL}/checkpoint.safetensors",
        predictions=f"{LEVEL}/predictions.parquet",
        dense_predictions=dense_predictions,
        explanations=explanations,
        stale=SCORES.check,
    output:
        scores=update(SCORES.output),
    log:
        job_files("logs", "score_explanations", "{pruner}__level{level}__{family}.log"),
    benchmark:
        job_files(
            "benchmarks",
            "score_explanations",
            "{pruner}__level{level}__{family}.jsonl",
        )
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(240),
        gpu=1,
        vram_mb=growing(4000),
    params:
        settings=SCORES.settings,
        version=SCORES.version,
        entries=SCORES.entries,
    script:
        "../scripts/score_explanations.py"
