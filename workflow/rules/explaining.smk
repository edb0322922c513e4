"""Explanations: one job per checkpoint and family; controls once per data set."""

MAPS = Updated(
    "explain_images",
    output=f"{LEVEL}/explanations/{{family}}.safetensors",
    settings=settings_of(SETTINGS.explain, "family", "dataset", "model"),
    version=version_of(
        "explain_images.py",
        ["explaining"],
        SETTINGS.explain_items,
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
    },
)
CONTROL_MAPS = Updated(
    "make_controls",
    output=CONTROLS,
    settings=settings_of(SETTINGS.explain, "family", "dataset"),
    version=version_of(
        "make_controls.py",
        ["explaining"],
        SETTINGS.explain_items,
        "family",
        "dataset",
        apart=["explainer"],
    ),
    entries=SETTINGS.explain_entries,
    names=["family", "dataset"],
    inputs={"test": f"{PACKED}/test.safetensors"},
)


rule explain_images:
    """Explain the shared images of a checkpoint with all explainers of a family."""
    input:
        test=f"{PACKED}/test.safetensors",
        checkpoint=f"{LEVEL}/checkpoint.safetensors",
        predictions=f"{LEVEL}/predictions.parquet",
        dense_predictions=dense_predictions,
        stale=MAPS.check,
    output:
        explanations=update(MAPS.output),
    log:
        job_files("logs", "explain_images", "{pruner}__level{level}__{family}.log"),
    benchmark:
        job_files(
            "benchmarks", "explain_images", "{pruner}__level{level}__{family}.jsonl"
        )
    wildcard_constraints:
        family=one_of(STUDY.families_on_networks()),
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(240),
        gpu=1,
        vram_mb=growing(4000),
    params:
        settings=MAPS.settings,
        version=MAPS.version,
        entries=MAPS.entries,
    script:
        "../scripts/explain_images.py"


rule make_controls:
    """Make the control explanations of a data set; they do not depend on any network."""
    input:
        test=f"{PACKED}/test.safetensors",
        stale=CONTROL_MAPS.check,
    output:
        explanations=update(CONTROL_MAPS.output),
    log:
        f"{RESULTS}/logs/make_controls/{{dataset}}__{{family}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/make_controls/{{dataset}}__{{family}}.jsonl"
    wildcard_constraints:
        family=one_of(STUDY.network_free_families()),
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(60),
    params:
        settings=CONTROL_MAPS.settings,
        version=CONTROL_MAPS.version,
        entries=CONTROL_MAPS.entries,
    script:
        "../scripts/make_controls.py"
