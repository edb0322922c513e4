"""Pruners compared where their networks have lost as much accuracy."""


rule equal_accuracy:
    """Read agreement and metrics off where networks have lost as much accuracy."""
    input:
        evaluations=rules.summarise.output.evaluations,
        levels=rules.summarise.output.levels,
        agreement=rules.summarise_agreement.output.agreement,
    output:
        equal_accuracy=f"{SUMMARY}/equal_accuracy.csv",
    log:
        f"{RESULTS}/logs/equal_accuracy.log",
    benchmark:
        f"{RESULTS}/benchmarks/equal_accuracy.jsonl"
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(60),
    params:
        settings=settings_of(TABLES.equal_accuracy),
        version=version_of("call.py", ["sparsight.analysis.equal_accuracy"]),
    script:
        "../scripts/call.py"


rule draw_equal_accuracy:
    """Draw agreement over the loss of accuracy, a line for each pruner."""
    input:
        equal_accuracy=rules.equal_accuracy.output.equal_accuracy,
    output:
        svg=f"{FIGURES}/equal_accuracy/{{dataset}}__{{model}}__{{metric}}.svg",
        png=f"{FIGURES}/equal_accuracy/{{dataset}}__{{model}}__{{metric}}.png",
    log:
        f"{RESULTS}/logs/draw_equal_accuracy/{{dataset}}__{{model}}__{{metric}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/draw_equal_accuracy/{{dataset}}__{{model}}__{{metric}}.jsonl"
    localrule: True
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(30),
    params:
        settings=settings_of(DRAWN.agreement, "dataset", "model", "metric"),
        version=version_of("call.py", ["sparsight.plots.equal_accuracy"]),
    script:
        "../scripts/call.py"


rule draw_checkpoints:
    """Draw the agreement of every checkpoint over the accuracy that it has lost."""
    input:
        agreement=rules.summarise_agreement.output.agreement,
        evaluations=rules.summarise.output.evaluations,
    output:
        svg=f"{FIGURES}/checkpoints/{{dataset}}__{{model}}__{{metric}}.svg",
        png=f"{FIGURES}/checkpoints/{{dataset}}__{{model}}__{{metric}}.png",
    log:
        f"{RESULTS}/logs/draw_checkpoints/{{dataset}}__{{model}}__{{metric}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/draw_checkpoints/{{dataset}}__{{model}}__{{metric}}.jsonl"
    localrule: True
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(30),
    params:
        settings=settings_of(DRAWN.agreement, "dataset", "model", "metric"),
        version=version_of("call.py", ["sparsight.plots.checkpoints"]),
    script:
        "../scripts/call.py"
