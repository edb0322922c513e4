"""Curves: metrics that score several steps, step by step."""


rule summarise_curves:
    """Describe every level at every step of the metrics that have steps."""
    input:
        evaluations=rules.summarise.output.evaluations,
        scores=score_files,
    output:
        curves=f"{SUMMARY}/curves.csv",
    log:
        f"{RESULTS}/logs/summarise_curves.log",
    benchmark:
        f"{RESULTS}/benchmarks/summarise_curves.jsonl"
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(120),
    params:
        settings=settings_of(TABLES.step_curves),
        version=version_of("summarise_curves.py", ["curves_table"]),
    script:
        "../scripts/summarise_curves.py"


rule draw_curves:
    """Draw one metric step by step: a line for each level, a panel for each explainer."""
    input:
        curves=rules.summarise_curves.output.curves,
    output:
        svg=f"{FIGURES}/curves/{{dataset}}__{{model}}__{{metric}}.svg",
        png=f"{FIGURES}/curves/{{dataset}}__{{model}}__{{metric}}.png",
    log:
        f"{RESULTS}/logs/draw_curves/{{dataset}}__{{model}}__{{metric}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/draw_curves/{{dataset}}__{{model}}__{{metric}}.jsonl"
    localrule: True
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(30),
    params:
        settings=settings_of(DRAWN.step_curves, "dataset", "model", "metric"),
        version=version_of("draw_curves.py", ["figure_curves"]),
    script:
        "../scripts/draw_curves.py"
