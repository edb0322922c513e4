"""Predictions from studies whose costs are known."""

import json
from pathlib import Path

import pytest

from sparsight.io.errors import InputError
from sparsight.study.costs.predict import (
    FITTED,
    MEASURED,
    CostModel,
    MeasuredJob,
    check_lines,
    main,
    read_measurements,
    schedule,
)
from sparsight.study.costs.work import CostJob

ROOT = Path(__file__).parents[4]
HEADER = "rule,study,dataset,model,seed,pruner,level,family,seconds,cpu_seconds,max_rss_mb\n"


def measured(rule, seconds, key="", seed=None, **work):
    kind = "training" if rule in ("train_dense", "prune_level") else rule
    return MeasuredJob(CostJob(kind, f"{rule}/{key}//", work, {}), seconds, 100.0, seed)


def test_a_study_is_predicted_from_others_and_with_its_first_seed():
    fast = [measured("contrast", 1), measured("prune_level", 10, "fast", seed=0)]
    slow = [measured("prune_level", 20, "slow", seed=seed) for seed in (0, 1, 2)]
    lines = list(check_lines({"fast": fast, "slow": slow}))
    assert lines[2] == "| fast | other studies | 10 | 20 | +100% | 1 | prune_level +100% |"
    assert lines[4] == "| slow | other studies | 60 | 30 | -50% | 0 | prune_level -50% |"
    assert lines[5] == "| slow | and its first seed | 40 | 40 | +0% | 0 | prune_level +0% |"


@pytest.fixture
def listed(tmp_path):
    """A list of one measured study, whose table of costs is not there yet."""
    (tmp_path / "study.yaml").write_text(
        "study: mine\ndatasets: [digits]\nmodels: [thesis_cnn_digits]\n"
    )
    found = tmp_path / "measured.yaml"
    found.write_text(f"measured: [{{study: {tmp_path}/study.yaml, costs: {tmp_path}/costs.csv}}]\n")
    return found


def test_measured_tables_are_read_with_their_study(listed):
    table = listed.with_name("costs.csv")
    place = "digits,thesis_cnn_digits,333"
    table.write_text(
        f"{HEADER}contrast,,,,,,,,5,1,300\nprune_level,,{place},magnitude,1,,60,50,900\n"
        f"explain_images,,{place},magnitude,1,cam,7,,\n"
    )
    found = read_measurements(listed)["mine"]
    assert [one.seed for one in found] == [None, 333, 333]
    assert not any(one.warm for one in found)
    job = found[1]
    assert (job.job.kind, job.seconds, job.megabytes) == ("training", 60, 900)
    assert job.job.key == "prune_level/digits/thesis_cnn_digits/"
    assert job.job.work["images"] == pytest.approx(25.94)
    stated = listed.read_text()
    listed.write_text(stated.replace("}]", ", warm: true}]"))
    assert all(one.warm for one in read_measurements(listed)["mine"])
    table.write_text(f"{HEADER}prune_level,,{place},magnitude,1,,60,50,900\n")
    recipe = "{optimiser: {name: sgd, learning_rate: 0.1}, epochs: 40, batch_size: 32}"
    changed = (
        f"settings: {{catalogue: {{models: {{thesis_cnn_digits: {{retraining: {recipe}}}}}}}}}"
    )
    listed.write_text(stated.replace("}]", f", {changed}}}]"))
    (twice,) = read_measurements(listed)["mine"]
    assert twice.job.work["images"] == pytest.approx(2 * job.job.work["images"])
    listed.write_text(stated)
    table.write_text(f"{HEADER}explain_images,,{place},magnitude,1,nothing,7,,\n")
    with pytest.raises(InputError, match="a job of explain_images that mine does not have"):
        read_measurements(listed)
    table.write_text("rule,seconds\n")
    with pytest.raises(InputError, match=r"costs\.csv has no column 'study'"):
        read_measurements(listed)
    listed.write_text("measured: []\n")
    with pytest.raises(InputError, match="lists no measured study"):
        read_measurements(listed)


def test_a_later_rewind_point_is_read_with_its_epoch(listed):
    row = "make_epoch_point,,digits,thesis_cnn_digits,333,,,5,60,50,900\n"
    listed.with_name("costs.csv").write_text(HEADER + row)
    (found,) = read_measurements(listed)["mine"]
    assert found.job.work["images"] == pytest.approx(5 * 1.297)


def test_other_options_are_refused():
    with pytest.raises(InputError, match="usage: "):
        main(["--configfile", "mine.yaml"])


def test_the_committed_fit_is_that_of_the_measured_studies(monkeypatch):
    monkeypatch.chdir(ROOT)
    studies = read_measurements(MEASURED).values()
    committed = json.loads(FITTED.read_text(encoding="utf-8"))
    fresh = json.loads(CostModel.fit(job for jobs in studies for job in jobs).to_json())
    remedy = "python -m sparsight.study.costs.predict --fit"
    for part in ("fits", "corrections"):
        assert committed[part].keys() == fresh[part].keys(), remedy
    for key, row in fresh["corrections"].items():
        assert committed["corrections"][key] == pytest.approx(row, rel=0.05), remedy
    for kind, fit in fresh["fits"].items():
        for name in ("seconds", "megabytes"):
            assert committed["fits"][kind][name] == pytest.approx(fit[name], rel=0.05), remedy


def test_a_chain_takes_its_sum_whatever_the_number_of_workers():
    for workers in (1, 4):
        assert schedule([1, 2, 3], [[], [0], [1]], workers) == (6, 6)


def test_two_chains_run_side_by_side_on_two_workers_only():
    seconds, after = [1, 2, 3, 1, 1, 1], [[], [0], [1], [], [3], [4]]
    assert schedule(seconds, after, 1) == (9, 6)
    assert schedule(seconds, after, 2) == (6, 6)


def test_a_table_waits_for_all_chains():
    after = [[], [0], [1], [], [3], [4], [2, 5]]
    assert schedule([1, 2, 3, 1, 1, 1, 10], after, 8) == (16, 16)


def test_jobs_share_the_workers_in_turn():
    assert schedule([5, 5, 5, 5, 8, 8], [[]] * 6, 2)[0] == 18
    assert schedule([], [], 1) == (0, 0)
