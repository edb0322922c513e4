"""The atlas of a finished study."""

from tests.workflow.project import Project


def test_the_atlas_is_written_once_and_not_by_default(finished: Project) -> None:
    folder = finished.folder / "results" / "tiny" / "atlas"
    assert not folder.exists()
    finished.run("--cores", "1", "atlas")
    assert (folder / "index.html").is_file()
    study = (folder / "data" / "study.js").read_text(encoding="utf-8")
    assert study.startswith('atlas.receive("study",')
    for name in ("tiny", "grad_cam_pp_conv2", "control_edges", "soft_iou", "ssim"):
        assert f'"{name}"' in study
    assert finished.planned("atlas") == {}
