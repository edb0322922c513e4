"""Figures of explanations: nothing is computed here."""


rule draw_metric:
    """Draw one metric against level and density, by family, next to the controls and the floor."""
    input:
        levels=rules.summarise.output.levels,
        contrasts=rules.contrast.output.contrasts,
    output:
        svg=f"{FIGURES}/metrics/{{dataset}}__{{model}}__{{metric}}.svg",
        png=f"{FIGURES}/metrics/{{dataset}}__{{model}}__{{metric}}.png",
    log:
        f"{RESULTS}/logs/draw_metric/{{dataset}}__{{model}}__{{metric}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/draw_metric/{{dataset}}__{{model}}__{{metric}}.jsonl"
    localrule: True
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(30),
    params:
        settings=settings_of(DRAWN.metric, "dataset", "model", "metric"),
        version=version_of("draw_metric.py", ["figure_metric"]),
    script:
        "../scripts/draw_metric.py"


rule draw_contrasts:
    """Draw one metric of every level against the dense networks, with intervals."""
    input:
        contrasts=rules.contrast.output.contrasts,
    output:
        svg=f"{FIGURES}/contrasts/{{dataset}}__{{model}}__{{metric}}.svg",
        png=f"{FIGURES}/contrasts/{{dataset}}__{{model}}__{{metric}}.png",
    log:
        f"{RESULTS}/logs/draw_contrasts/{{dataset}}__{{model}}__{{metric}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/draw_contrasts/{{dataset}}__{{model}}__{{metric}}.jsonl"
    localrule: True
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(30),
    params:
        settings=settings_of(DRAWN.metric, "dataset", "model", "metric"),
        version=version_of("draw_contrasts.py", ["figure_contrasts"]),
    script:
        "../scripts/draw_contrasts.py"


rule draw_strata:
    """Draw one metric against dense among hard, medium and easy images."""
    input:
        strata=rules.stratify.output.strata,
    output:
        svg=f"{FIGURES}/strata/{{dataset}}__{{model}}__{{metric}}.svg",
        png=f"{FIGURES}/strata/{{dataset}}__{{model}}__{{metric}}.png",
    log:
        f"{RESULTS}/logs/draw_strata/{{dataset}}__{{model}}__{{metric}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/draw_strata/{{dataset}}__{{model}}__{{metric}}.jsonl"
    localrule: True
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(30),
    params:
        settings=settings_of(DRAWN.metric, "dataset", "model", "metric"),
        version=version_of("draw_strata.py", ["figure_strata"]),
    script:
        "../scripts/draw_strata.py"


rule draw_correctness:
    """Draw one metric of correct minus incorrect predictions."""
    input:
        correctness=rules.compare_predictions.output.correctness,
    output:
        svg=f"{FIGURES}/correctness/{{dataset}}__{{model}}__{{metric}}.svg",
        png=f"{FIGURES}/correctness/{{dataset}}__{{model}}__{{metric}}.png",
    log:
        f"{RESULTS}/logs/draw_correctness/{{dataset}}__{{model}}__{{metric}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/draw_correctness/{{dataset}}__{{model}}__{{metric}}.jsonl"
    localrule: True
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(30),
    params:
        settings=settings_of(DRAWN.metric, "dataset", "model", "metric"),
        version=version_of("draw_correctness.py", ["figure_correctness"]),
    script:
        "../scripts/draw_correctness.py"


rule draw_heatmaps:
    """Draw a sheet of the same images at several levels with every explainer."""
    input:
        test=f"{PACKED}/test.safetensors",
        evaluations=sheet_evaluations,
        explanations=sheet_explanations,
        controls=sheet_controls,
    output:
        svg=f"{FIGURES}/heatmaps/{{dataset}}__{{model}}__{{pruner}}.svg",
        png=f"{FIGURES}/heatmaps/{{dataset}}__{{model}}__{{pruner}}.png",
    log:
        f"{RESULTS}/logs/draw_heatmaps/{{dataset}}__{{model}}__{{pruner}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/draw_heatmaps/{{dataset}}__{{model}}__{{pruner}}.jsonl"
    localrule: True
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(30),
    params:
        settings=settings_of(DRAWN.sheet, "dataset", "model"),
        version=version_of("draw_heatmaps.py", ["figure_heatmaps"]),
    script:
        "../scripts/draw_heatmaps.py"


rule draw_agreement:
    """Draw agreement with the dense network over levels, next to its floors."""
    input:
        agreement=rules.summarise_agreement.output.agreement,
    output:
        svg=f"{FIGURES}/agreement/{{dataset}}__{{model}}__{{metric}}.svg",
        png=f"{FIGURES}/agreement/{{dataset}}__{{model}}__{{metric}}.png",
    log:
        f"{RESULTS}/logs/draw_agreement/{{dataset}}__{{model}}__{{metric}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/draw_agreement/{{dataset}}__{{model}}__{{metric}}.jsonl"
    localrule: True
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(30),
    params:
        settings=settings_of(DRAWN.agreement, "dataset", "model", "metric"),
        version=version_of("draw_agreement.py", ["figure_agreement"]),
    script:
        "../scripts/draw_agreement.py"
