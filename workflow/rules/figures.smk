"""Figures of claims, networks and correlations: nothing is computed here."""


rule draw_claims:
    """Draw the table of claims, and write it and that of all verdicts for browsers."""
    input:
        claims=rules.check_claims.output.claims,
        references=reference_claims(),
    output:
        html=report(
            f"{SUMMARY}/claims.html",
            caption="../report/claims.rst",
            category="1 Claims",
            labels={"table": "claims, with verdicts"},
        ),
        svg=f"{FIGURES}/claims.svg",
        png=f"{FIGURES}/claims.png",
        verdicts=report(
            f"{SUMMARY}/verdicts.html",
            caption="../report/verdicts.rst",
            category="1 Claims",
            labels={"table": "verdicts, beside those of the references"},
        ),
    log:
        f"{RESULTS}/logs/draw_claims.log",
    benchmark:
        f"{RESULTS}/benchmarks/draw_claims.jsonl"
    localrule: True
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(30),
    params:
        settings=settings_of(TABLES.drawn_claims),
        version=version_of("draw_claims.py", ["figure_claims", "verdicts_page"]),
    script:
        "../scripts/draw_claims.py"


rule write_guide:
    """Write the guide to the report: what was studied, and how to read it."""
    output:
        html=report(
            f"{SUMMARY}/guide.html",
            caption="../report/guide.rst",
            category="0 Answer",
            labels={"page": "how to read this report"},
        ),
    log:
        f"{RESULTS}/logs/write_guide.log",
    benchmark:
        f"{RESULTS}/benchmarks/write_guide.jsonl"
    localrule: True
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(30),
    params:
        settings=settings_of(TABLES.guide),
        version=version_of("write_guide.py", ["guide_page"]),
    script:
        "../scripts/write_guide.py"


rule write_methods:
    """Write the methods of the study in sentences, and the references that they cite."""
    output:
        methods=report(
            f"{SUMMARY}/methods.md",
            caption="../report/methods.rst",
            category="0 Answer",
            labels={"page": "methods, with references"},
        ),
        references=f"{SUMMARY}/references.bib",
    log:
        f"{RESULTS}/logs/write_methods.log",
    benchmark:
        f"{RESULTS}/benchmarks/write_methods.jsonl"
    localrule: True
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(30),
    params:
        settings=settings_of(lambda: methods_of(STUDY)),
        version=version_of("call.py", ["sparsight.study.methods"]),
    script:
        "../scripts/call.py"


rule draw_accuracy:
    """Draw accuracy against level and density, every network visible."""
    input:
        evaluations=rules.summarise.output.evaluations,
    output:
        svg=f"{FIGURES}/accuracy/{{dataset}}__{{model}}.svg",
        png=f"{FIGURES}/accuracy/{{dataset}}__{{model}}.png",
    log:
        f"{RESULTS}/logs/draw_accuracy/{{dataset}}__{{model}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/draw_accuracy/{{dataset}}__{{model}}.jsonl"
    localrule: True
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(30),
    params:
        settings=settings_of(DRAWN.accuracy, "dataset", "model"),
        version=version_of("draw_accuracy.py", ["figure_accuracy"]),
    script:
        "../scripts/draw_accuracy.py"


rule draw_correlations:
    """Draw each explainer's correlations with accuracy: per seed, mean, interval, as published."""
    input:
        correlations=rules.correlate.output.correlations,
    output:
        svg=f"{FIGURES}/correlations/{{dataset}}__{{model}}.svg",
        png=f"{FIGURES}/correlations/{{dataset}}__{{model}}.png",
    log:
        f"{RESULTS}/logs/draw_correlations/{{dataset}}__{{model}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/draw_correlations/{{dataset}}__{{model}}.jsonl"
    localrule: True
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(30),
    params:
        settings=settings_of(DRAWN.correlations, "dataset", "model"),
        version=version_of("draw_correlations.py", ["figure_correlations"]),
    script:
        "../scripts/draw_correlations.py"


rule draw_correlation_table:
    """Draw all correlations with accuracy as one table."""
    input:
        correlations=rules.correlate.output.correlations,
    output:
        svg=f"{FIGURES}/correlation_tables/{{dataset}}__{{model}}.svg",
        png=f"{FIGURES}/correlation_tables/{{dataset}}__{{model}}.png",
    log:
        f"{RESULTS}/logs/draw_correlation_table/{{dataset}}__{{model}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/draw_correlation_table/{{dataset}}__{{model}}.jsonl"
    localrule: True
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(30),
    params:
        settings=settings_of(DRAWN.correlations, "dataset", "model"),
        version=version_of("draw_correlation_table.py", ["figure_correlation_table"]),
    script:
        "../scripts/draw_correlation_table.py"
