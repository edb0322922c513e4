"""Studies of the user's own images: planned from the folder, as docs/data.md says."""

import re
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from sparsight.data import scans
from sparsight.study.configuration import catalogue_and_study, normalise, overlaid, resolve
from sparsight.study.plan import (
    Study,
    available_images,
    class_names,
    concept_names,
    has_concepts,
    has_masks,
    shape_of_images,
)
from sparsight.study.settings import RuleSettings

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(scans, "_known", {})
    monkeypatch.delenv(scans.SCANNED_VARIABLE, raising=False)


@pytest.fixture
def birds(tmp_path):
    """Ten crows and ten owls of different sizes, and a table of them."""
    rows = ["file,label,group,mask,crest"]
    folder = tmp_path / "pictures" / "birds"
    for place in range(20):
        name = f"{('crow', 'owl')[place % 2]}/{place:02d}.jpg"
        for top, values in (("", (70 + place, 80, 3)), ("masks", (70 + place, 80))):
            path = folder / top / name
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.full(values, 255, np.uint8)).save(path)
        rows.append(f"{name},{place % 2},g{place // 4},masks/{name},{place % 3 % 2}")
    (folder / "images.csv").write_text("\n".join(rows) + "\n")
    return folder


def documented():
    """The study in docs/data.md."""
    text = (ROOT / "docs" / "data.md").read_text(encoding="utf-8")
    return yaml.safe_load(re.search(r"```yaml\n(# studies/birds[\s\S]*?)```", text)[1])


def planned(study, **options):
    """The study as the workflow resolves it, and its problems."""
    study = overlaid(study, {"catalogue": {"datasets": {"birds": {"options": options}}}})
    whole = normalise(overlaid(catalogue_and_study(ROOT, own=True), study))
    return resolve(whole)


def test_the_study_of_the_documentation_is_planned(birds):
    (birds / "masks").rename(birds.parent / "outlines")
    whole, problems = planned(documented())
    assert problems == []
    study = Study(whole)
    assert shape_of_images(study, "birds") == (3, 64, 64)
    assert available_images(study, "birds") == 4
    assert class_names(study, "birds") == ["crow", "owl"]
    assert not has_masks(study, "birds")
    # 200 by default, but there are no more.
    assert study.explaining("gradient")["images"] == "all"
    assert whole["explaining"]["conditions"] == ["clean"]


def test_a_table_gives_masks_and_concepts(birds):
    whole, problems = planned(documented(), table="images.csv", split={"test": 8})
    assert problems == []
    study = Study(whole)
    assert has_masks(study, "birds")
    assert has_concepts(study, "birds")
    assert concept_names(study, "birds") == ["crest"]
    assert class_names(study, "birds") == ["0", "1"]
    assert "soft_iou" in study.config["metrics"]


def test_a_trojan_is_planted_in_own_images(birds):
    study = documented()
    study["datasets"] = ["planted"]
    study["catalogue"]["datasets"]["planted"] = {
        "base": "birds",
        "trojan": {"stickers": {"heart": "crow"}, "test": 2},
    }
    whole, problems = planned(study, masks="masks")
    assert problems == []
    # The copies with a sticker come on top.
    assert available_images(Study(whole), "planted") == 4 + 2


def test_changed_files_are_fetched_again_and_nothing_else(birds, monkeypatch):
    def settings():
        monkeypatch.setattr(scans, "_known", {})
        whole, problems = planned(documented(), table="images.csv", split={"test": 8})
        assert problems == []
        rules = RuleSettings(Study(whole))
        return rules.fetching("birds"), rules.packing("birds")

    fetching, packing = settings()
    assert settings() == (fetching, packing)
    with open(birds / "crow" / "00.jpg", "ab") as file:
        file.write(b"more")
    again, packed_again = settings()
    assert {key for key in fetching if fetching[key] != again[key]} == {"state"}
    assert packed_again == packing


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"path": "nowhere"}, "'path'"),
        ({"path": "$NOWHERE"}, "options.path"),
        ({"path": None}, "'path'"),
        ({"size": None, "masks": "masks"}, "'size'"),
        ({"sizes": 3}, "sizes"),
        ({"table": "none.csv"}, "none.csv"),
    ],
)
def test_faults_name_the_data_set_before_any_job(birds, options, named):
    _, (problem,) = planned(documented(), **options)
    assert problem.startswith("catalogue.datasets.birds.options")
    assert named in problem
    assert not Path("data").exists()


def test_a_path_is_needed(birds):
    study = documented()
    study["catalogue"]["datasets"]["birds"]["options"] = {"size": 64}
    _, (problem,) = planned(study)
    assert "'path' is missing at catalogue.datasets.birds.options" in problem
