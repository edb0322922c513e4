"""Feature visualisation of a trojan's classes, and the two-dimensional toy of sample-targeted pruning."""


rule visualise_features:
    """Make pictures that most excite a trojan's classes, before and after pruning for an image."""
    input:
        test=f"{PACKED}/test.safetensors",
        checkpoint=f"{LEVEL}/checkpoint.safetensors",
        sparsities=visualisation_sparsities,
    output:
        pictures=PICTURES,
    log:
        job_files("logs", "visualise_features", "{pruner}__level{level}.log"),
    benchmark:
        job_files("benchmarks", "visualise_features", "{pruner}__level{level}.jsonl")
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=growing(6000),
        runtime=growing(240),
        gpu=1,
        vram_mb=growing(4000),
    params:
        settings=settings_of(SAMPLES.visualise, "dataset"),
        version=version_of(
            "visualise_features.py",
            ["visualisation", "sample_pruning"],
            SAMPLES.visualise_items,
            "model",
        ),
    script:
        "../scripts/visualise_features.py"


rule draw_visualisation:
    """Draw a sheet of a trojan's classes, of the network and of copies pruned for an image."""
    input:
        pictures=shown_pictures,
    output:
        svg=f"{FIGURES}/visualisation/{{dataset}}__{{model}}.svg",
        png=f"{FIGURES}/visualisation/{{dataset}}__{{model}}.png",
    log:
        f"{RESULTS}/logs/draw_visualisation/{{dataset}}__{{model}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/draw_visualisation/{{dataset}}__{{model}}.jsonl"
    localrule: True
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(30),
    params:
        settings=settings_of(SAMPLES.pictures, "dataset", "model"),
        version=version_of("draw_visualisation.py", ["figure_visualisation"]),
    script:
        "../scripts/draw_visualisation.py"


rule prune_toy:
    """Prune a unit that answers to two regions of a plane, for a sample from each."""
    output:
        table=f"{SUMMARY}/sample_pruning_toy.csv",
        planes=f"{SUMMARY}/sample_pruning_toy.safetensors",
    log:
        f"{RESULTS}/logs/prune_toy.log",
    benchmark:
        f"{RESULTS}/benchmarks/prune_toy.jsonl"
    localrule: True
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(30),
    params:
        settings=settings_of(SAMPLES.toy),
        version=version_of("prune_toy.py", ["toy"]),
    script:
        "../scripts/prune_toy.py"


rule draw_toy:
    """Draw the unit over the plane, before and after pruning for a sample from each region."""
    input:
        table=rules.prune_toy.output.table,
        planes=rules.prune_toy.output.planes,
    output:
        svg=f"{FIGURES}/sample_pruning_toy.svg",
        png=f"{FIGURES}/sample_pruning_toy.png",
    log:
        f"{RESULTS}/logs/draw_toy.log",
    benchmark:
        f"{RESULTS}/benchmarks/draw_toy.jsonl"
    localrule: True
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(30),
    params:
        settings={},
        version=version_of("draw_toy.py", ["figure_toy"]),
    script:
        "../scripts/draw_toy.py"
