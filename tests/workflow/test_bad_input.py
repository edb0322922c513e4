"""Bad input: one clear sentence, a non-zero exit, nothing written."""

import pytest

from tests.workflow.project import Project


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        pytest.param({"sedes": [1]}, ["sedes", "seeds"], id="unknown key"),
        pytest.param({"metrics": ["soft_iuo"]}, ["soft_iuo", "soft_iou"], id="unknown name"),
        pytest.param({"disk_budget_gb": 0.000001}, ["disk_budget_gb"], id="disk budget"),
    ],
)
def test_a_wrong_configuration_is_one_sentence(
    fresh: Project, changes: dict[str, object], named: list[str]
) -> None:
    fresh.configure(**changes)
    done = fresh.call("--cores", "1")
    assert done.returncode != 0
    text = done.stdout + done.stderr
    assert "Traceback" not in text
    sentences = [line for line in text.splitlines() if line.startswith("Configuration: ")]
    assert len(sentences) == 1
    assert all(name in sentences[0] for name in named)
    assert not (fresh.folder / "results").exists()
    assert not (fresh.folder / "data").exists()


TWICE = "study: a\nseeds: [1]\nstudy: b\n"
NO_PROFILE = ("--workflow-profile", "none")


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        pytest.param(["--workflow-profile", "profiles/gpus"], ["gpus", "'gpu'"], id="profile"),
        pytest.param(["-R", "prune_levels"], ["--forcerun", "'prune_level'"], id="rule"),
        pytest.param(
            ["--set-resources", "prune_levels:mem_mb=1"],
            ["--set-resources", "'prune_level'"],
            id="resources of a rule",
        ),
        pytest.param(
            ["--workflow-profile", "mine"], ["--set-threads", "'train_dense'"], id="in a profile"
        ),
        pytest.param(["--configfile", "tinny.yaml"], ["tinny.yaml", "'tiny.yaml'"], id="no file"),
        pytest.param(["--configfile", "twice.yaml"], ["twice.yaml line 3", "'study'"], id="twice"),
        pytest.param(
            [*NO_PROFILE, "--configfile", "twice.yaml"], ["line 3"], id="twice, without a profile"
        ),
        pytest.param(["--config", "seeds"], ["--config", "'seeds'"], id="argument without a value"),
        pytest.param(["--directory", "/dev/null"], ["/dev/null"], id="no folder to work in"),
        pytest.param(["--directory", "{0}"], ["{0}", "braces"], id="braces"),
    ],
)
def test_what_snakemake_ignores_or_ends_in_a_traceback_is_one_message(
    fresh: Project, arguments: list[str], named: list[str]
) -> None:
    fresh.write("twice.yaml", TWICE)
    fresh.write("mine/profile.v9+.yaml", "logger: sparsight\nset-threads: {train_dens: 2}\n")
    done = fresh.call("--cores", "1", "--dry-run", *arguments)
    assert done.returncode != 0
    text = done.stdout + done.stderr
    assert "Traceback" not in text
    assert all(name in text.splitlines()[-1] for name in named), text
    assert not (fresh.folder / "results").exists()


def test_a_home_that_cannot_be_written_is_one_message(fresh: Project) -> None:
    fresh.environment = {**fresh.environment, "HOME": "/dev/null"}
    fresh.environment.pop("XDG_CACHE_HOME", None)
    done = fresh.call("--cores", "1", "--dry-run")
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    assert "XDG_CACHE_HOME" in done.stderr.splitlines()[-1]
    fresh.environment["XDG_CACHE_HOME"] = str(fresh.folder / "cache")
    fresh.run("--dry-run")


def test_numbers_of_the_command_line_are_numbers(fresh: Project) -> None:
    text = fresh.run("--dry-run", "--config", "explaining={images: 7}", "seeds=[3, 4]")
    assert "seed3" in text
    assert "seed4" in text


def test_all_problems_come_at_once(fresh: Project) -> None:
    fresh.configure(metrics=["soft_iuo"], seeds=[1], datasets=["digitz"], pruners=["tinny"])
    text = fresh.call("--cores", "1").stderr
    assert sum(line.startswith("Configuration: ") for line in text.splitlines()) == 3


def test_a_dry_run_says_what_will_be_stored_and_compared(fresh: Project) -> None:
    text = fresh.run("--dry-run")
    assert "Stored explanations will take" in text
    assert "Agreement will be measured for cam." in text


def test_without_a_fixed_class_nothing_is_compared(fresh: Project) -> None:
    fresh.configure(explaining={"target": "predicted"})
    text = fresh.run("--dry-run")
    assert "Agreement will be measured for no family, not for cam: " in text
    assert "compare_explanations" not in text
    assert "agreement" not in text.replace("Agreement will", "")


def test_a_job_on_a_corrupt_file_says_which(finished: Project) -> None:
    packed = finished.folder / "data" / "packed" / "digits" / "test.safetensors"
    content = bytearray(packed.read_bytes())
    content[-1] ^= 1
    packed.write_bytes(content)
    done = finished.call("--cores", "1", "-R", "make_controls", "--until", "make_controls")
    assert done.returncode != 0
    log = next((finished.folder / "results/tiny/logs/make_controls").glob("*.log"))
    text = log.read_text(encoding="utf-8")
    assert "test.safetensors is corrupt" in text
    assert "Traceback" not in text


def test_missing_files_that_may_not_be_downloaded_stop_a_run_before_any_job(fresh: Project) -> None:
    fresh.configure(
        datasets=["derm7pt"],
        models=["resnet18_shapes"],
        explainers=["saliency"],
        metrics=["gini_sparseness"],
        claims=[],
        explaining={"conditions": ["clean"], "images": 20},
    )
    done = fresh.call("--cores", "1")
    assert done.returncode != 0
    assert "derm7pt" in done.stderr.splitlines()[-1]
    assert not (fresh.folder / "results").exists()
    assert not (fresh.folder / "data").exists()
    # what would run can be seen without them, and a run of other jobs needs none
    assert "Data: catalogue.datasets.derm7pt" in fresh.run("--dry-run")


def test_a_shared_folder_that_does_not_exist_is_named(fresh: Project) -> None:
    fresh.configure()
    fresh.environment["SPARSIGHT_DATA"] = str(fresh.folder / "nowhere")
    done = fresh.call("--dry-run")
    assert done.returncode != 0
    assert "SPARSIGHT_DATA" in done.stderr
    assert "Traceback" not in done.stderr
