"""Agreement: how much an explanation changes between networks."""

COMPARED = Updated(
    "compare_explanations",
    output=f"{LEVEL}/agreement/{{family}}.parquet",
    settings=settings_of(
        SETTINGS.compare, "dataset", "model", "seed", "pruner", "level", "family"
    ),
    version=version_of(
        "compare_explanations.py",
        ["agreement"],
        SETTINGS.compare_items,
        apart=["agreement metric"],
    ),
    entries=SETTINGS.compare_entries,
    names=["family", "dataset", "model"],
    inputs={
        "test": f"{PACKED}/test.safetensors",
        "checkpoint": f"{LEVEL}/checkpoint.safetensors",
        "predictions": f"{LEVEL}/predictions.parquet",
    },
    maps=compared_explanations,
)


rule compare_explanations:
    """Compare a checkpoint's explanations of a family with those of its reference networks."""
    input:
        test=f"{PACKED}/test.safetensors",
        checkpoint=f"{LEVEL}/checkpoint.safetensors",
        predictions=f"{LEVEL}/predictions.parquet",
        explanations=f"{LEVEL}/explanations/{{family}}.safetensors",
        references=reference_explanations,
        stale=COMPARED.check,
    output:
        agreement=update(COMPARED.output),
    log:
        job_files(
            "logs", "compare_explanations", "{pruner}__level{level}__{family}.log"
        ),
    benchmark:
        job_files(
            "benchmarks",
            "compare_explanations",
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
        settings=COMPARED.settings,
        version=COMPARED.version,
        entries=COMPARED.entries,
    script:
        "../scripts/compare_explanations.py"


rule find_exemplars:
    """Find images that pruned networks forget, and classes that are harmed."""
    input:
        predictions=[
            place_path(f"{LEVEL}/predictions.parquet", place)
            for place in STUDY.places()
        ],
        agreement=agreement_files,
    output:
        exemplars=f"{SUMMARY}/exemplars.parquet",
        harm=f"{SUMMARY}/class_harm.csv",
    log:
        f"{RESULTS}/logs/find_exemplars.log",
    benchmark:
        f"{RESULTS}/benchmarks/find_exemplars.jsonl"
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(120),
    params:
        settings=settings_of(TABLES.exemplars),
        version=version_of("find_exemplars.py", ["exemplars"]),
    script:
        "../scripts/find_exemplars.py"


rule summarise_agreement:
    """Summarise agreement next to the retrain floor and the seed floor."""
    input:
        evaluations=f"{SUMMARY}/evaluations.parquet",
        agreement=agreement_files,
    output:
        agreement=f"{SUMMARY}/agreement.csv",
    log:
        f"{RESULTS}/logs/summarise_agreement.log",
    benchmark:
        f"{RESULTS}/benchmarks/summarise_agreement.jsonl"
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(120),
    params:
        settings=settings_of(TABLES.agreement),
        version=version_of("summarise_agreement.py", ["agreement_table"]),
    script:
        "../scripts/summarise_agreement.py"
