"""What the pages of the report are made of, and how the report sorts them."""


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
