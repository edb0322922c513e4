"""The report holds every figure and table with its caption."""

from tests.workflow.project import Project


def test_the_report_is_built_with_captions(finished: Project) -> None:
    finished.run("--report", "report.html")
    text = (finished.folder / "report.html").read_text(encoding="utf-8")
    for part in ("Accuracy", "Explanations", "Heatmaps", "Correlations", "levels.csv", "soft_iou"):
        assert part in text
