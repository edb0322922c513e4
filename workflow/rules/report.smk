"""The report's pages: the answer, each figure with its caption, each table to sort and filter."""


rule write_report:
    """Write the pages that the report shows, and what its first page says."""
    input:
        figures=figure_files(),
        tables=expand(f"{SUMMARY}/{{table}}.csv", table=reported_tables()),
    output:
        pages=report(
            directory(f"{RESULTS}/report"),
            caption="../report/pages.rst",
            category=page_category,
            labels=page_labels,
            patterns=["{folder}/{page}.html"],
        ),
    log:
        f"{RESULTS}/logs/write_report.log",
    benchmark:
        f"{RESULTS}/benchmarks/write_report.jsonl"
    localrule: True
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(30),
    params:
        settings=settings_of(report_settings),
        version=version_of("write_report.py", ["report_pages"]),
    script:
        "../scripts/write_report.py"
