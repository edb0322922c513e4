"""Figures of concepts: nothing is computed here."""


rule draw_concepts:
    """Draw one method's measures and drift over levels, next to the floors."""
    input:
        concepts=rules.summarise_concepts.output.concepts,
    output:
        svg=f"{FIGURES}/concepts/{{dataset}}__{{model}}__{{concept}}.svg",
        png=f"{FIGURES}/concepts/{{dataset}}__{{model}}__{{concept}}.png",
    log:
        f"{RESULTS}/logs/draw_concepts/{{dataset}}__{{model}}__{{concept}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/draw_concepts/{{dataset}}__{{model}}__{{concept}}.jsonl"
    localrule: True
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(30),
    params:
        settings=settings_of(CONCEPTS.figure, "dataset", "model", "concept"),
        version=version_of("draw_concepts.py", ["figure_concepts"]),
    script:
        "../scripts/draw_concepts.py"


rule write_concept_tables:
    """Write the most important concepts of every class and level, and notes, for browsers."""
    input:
        tables=rules.summarise_concepts.output.tables,
        notes=rules.summarise_concepts.output.notes,
    output:
        html=report(
            f"{SUMMARY}/concept_tables.html",
            caption="../report/concept_tables.rst",
            category="7 Concepts",
            labels={"table": "most important concepts"},
        ),
    log:
        f"{RESULTS}/logs/write_concept_tables.log",
    benchmark:
        f"{RESULTS}/benchmarks/write_concept_tables.jsonl"
    localrule: True
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(30),
    params:
        settings=settings_of(CONCEPTS.page),
        version=version_of("write_concept_tables.py", ["concept_tables_page"]),
    script:
        "../scripts/write_concept_tables.py"


rule draw_concept_sheet:
    """Draw the concepts of a dense network next to those of a pruned one, as crops."""
    input:
        dense_ranking=sheet_findings("dense", ".parquet"),
        dense_arrays=sheet_findings("dense", ".safetensors"),
        pruned_ranking=sheet_findings("pruned", ".parquet"),
        pruned_arrays=sheet_findings("pruned", ".safetensors"),
    output:
        svg=f"{FIGURES}/concept_sheets/{{dataset}}__{{model}}__{{pruner}}__{{concept}}.svg",
        png=f"{FIGURES}/concept_sheets/{{dataset}}__{{model}}__{{pruner}}__{{concept}}.png",
    log:
        f"{RESULTS}/logs/draw_concept_sheet/{{dataset}}__{{model}}__{{pruner}}__{{concept}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/draw_concept_sheet/{{dataset}}__{{model}}__{{pruner}}__{{concept}}.jsonl"
    wildcard_constraints:
        pruner=one_of(config["pruners"]),
    localrule: True
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(30),
    params:
        settings=settings_of(CONCEPTS.sheet, "dataset", "model", "concept"),
        version=version_of("draw_concept_sheet.py", ["figure_concept_sheet"]),
    script:
        "../scripts/draw_concept_sheet.py"
