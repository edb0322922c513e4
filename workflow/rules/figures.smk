"""Figures: nothing is computed here."""


rule draw_accuracy:
    """Draw accuracy against level and density, every network visible."""
    input:
        evaluations=rules.summarise.output.evaluations,
    output:
        svg=report(
            f"{FIGURES}/accuracy/{{dataset}}__{{model}}.svg",
            caption="../report/accuracy.rst",
            category="Accuracy",
            labels={"data set": "{dataset}", "model": "{model}"},
        ),
        png=f"{FIGURES}/accuracy/{{dataset}}__{{model}}.png",
    log:
        f"{RESULTS}/logs/draw_accuracy/{{dataset}}__{{model}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/draw_accuracy/{{dataset}}__{{model}}.jsonl"
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        settings=settings_of(SETTINGS.accuracy_figure, "dataset", "model"),
        code=code_of("draw_accuracy.py"),
    script:
        "../scripts/draw_accuracy.py"


rule draw_metric:
    """Draw one metric against level and density, every network and the controls visible."""
    input:
        levels=rules.summarise.output.levels,
    output:
        svg=report(
            f"{FIGURES}/metrics/{{dataset}}__{{model}}__{{metric}}.svg",
            caption="../report/metric.rst",
            category="Explanations",
            labels={"data set": "{dataset}", "model": "{model}", "metric": "{metric}"},
        ),
        png=f"{FIGURES}/metrics/{{dataset}}__{{model}}__{{metric}}.png",
    log:
        f"{RESULTS}/logs/draw_metric/{{dataset}}__{{model}}__{{metric}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/draw_metric/{{dataset}}__{{model}}__{{metric}}.jsonl"
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        settings=settings_of(SETTINGS.metric_figure, "dataset", "model", "metric"),
        code=code_of("draw_metric.py"),
    script:
        "../scripts/draw_metric.py"


rule draw_heatmaps:
    """Draw a sheet of the same images at several levels with every explainer."""
    input:
        test=f"{PACKED}/test.safetensors",
        evaluations=sheet_evaluations,
        explanations=sheet_explanations,
        controls=sheet_controls,
    output:
        svg=f"{FIGURES}/heatmaps/{{dataset}}__{{model}}__{{pruner}}.svg",
        png=report(
            f"{FIGURES}/heatmaps/{{dataset}}__{{model}}__{{pruner}}.png",
            caption="../report/heatmaps.rst",
            category="Heatmaps",
            labels={"data set": "{dataset}", "model": "{model}", "pruner": "{pruner}"},
        ),
    log:
        f"{RESULTS}/logs/draw_heatmaps/{{dataset}}__{{model}}__{{pruner}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/draw_heatmaps/{{dataset}}__{{model}}__{{pruner}}.jsonl"
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        settings=settings_of(SETTINGS.sheet),
        code=code_of("draw_heatmaps.py"),
    script:
        "../scripts/draw_heatmaps.py"


rule draw_correlations:
    """Draw each explainer's correlations with accuracy: per seed, mean, interval, as published."""
    input:
        correlations=rules.correlate.output.correlations,
    output:
        svg=report(
            f"{FIGURES}/correlations/{{dataset}}__{{model}}.svg",
            caption="../report/correlations.rst",
            category="Correlations",
            labels={"data set": "{dataset}", "model": "{model}"},
        ),
        png=f"{FIGURES}/correlations/{{dataset}}__{{model}}.png",
    log:
        f"{RESULTS}/logs/draw_correlations/{{dataset}}__{{model}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/draw_correlations/{{dataset}}__{{model}}.jsonl"
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        settings=settings_of(SETTINGS.correlation_figure, "dataset", "model"),
        code=code_of("draw_correlations.py"),
    script:
        "../scripts/draw_correlations.py"
