"""The report's pages: the answer, each figure with its caption, each table to sort and filter."""


def reported_figures():
    """Every figure, below the folder of figures."""
    return [path.removeprefix(f"{FIGURES}/") for path in figure_files()]


def reported_tables():
    """Names of the tables that the report shows."""
    tables = [*statistics_files(), *rules.summarise.output, *rules.gather_costs.output]
    if config["concepts"]:
        tables.append(rules.summarise_concepts.output.tables)
    return [Path(path).stem for path in tables if str(path).endswith(".csv")]


def page_category(wildcards):
    """Category of a page in the report."""
    return CATEGORIES[wildcards.folder]


def page_labels(wildcards):
    """Labels of a page in the report."""
    return PAGES[wildcards.folder, wildcards.page]


def report_settings():
    """Settings of the pages, and their captions: files that are touched write no page again."""
    settings = REPORT.report(reported_figures(), reported_tables())
    names = {page["caption"] for page in settings["pages"]}
    texts = {
        name: (WORKFLOW / "report" / f"{name}.rst").read_text(encoding="utf-8")
        for name in names
    }
    return {**settings, "captions": texts}


REPORT = ReportSettings(STUDY)
PAGES = REPORT.of_page(reported_figures(), reported_tables())


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
