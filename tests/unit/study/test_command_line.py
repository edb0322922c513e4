"""Misspelt names on the command line are refused, with the option and the nearest name."""

from pathlib import Path

import pytest

from sparsight.io.errors import InputError
from sparsight.study.command_line import (
    check_configuration_file,
    check_folder_name,
    check_profile,
    check_profile_file,
    check_resources,
    check_rules,
    check_writable,
)

RULES = ("all", "prune_level", "score_explanations", "summarise")
TABLE = "results/demo/summary/levels.csv"


def refused(check, *arguments):
    with pytest.raises(InputError) as caught:
        check(*arguments)
    return str(caught.value)


def test_rules_and_files_that_there_are_pass():
    check_rules({"--set-threads": ["all"], "--groups": []}, RULES)
    check_rules({"--forcerun": ["summarise", TABLE]}, RULES, lambda name: name == TABLE)


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("score_explanation", "score_explanations"),
        ("Prune_level", "prune_level"),
        ("results/dem/summary/levels.csv", TABLE),
    ],
)
def test_an_unknown_rule_or_file_is_refused_with_the_nearest(name, nearest):
    text = refused(check_rules, {"--until": [name]}, RULES, lambda name: False, [TABLE])
    assert all(f"{word}'" in text for word in (f"'{name}", f"'{nearest}"))
    assert text.startswith("--until: ")


def test_files_are_no_rules_where_only_rules_count():
    assert TABLE in refused(check_rules, {"--set-threads": [TABLE]}, RULES)


def test_rules_are_listed_where_none_is_near():
    text = refused(check_rules, {"targets": ["x"]}, RULES, lambda name: False)
    assert all(rule in text for rule in RULES)


KNOWN = ("gpu", "vram_mb", "slots")


def test_resources_of_rules_and_of_snakemake_pass():
    check_resources({"--resources": ["gpu", "slots", "mem_mb", "disk", "runtime"]}, KNOWN, False)


@pytest.mark.parametrize("far", [False, True])
@pytest.mark.parametrize(
    ("name", "nearest"), [("gpus", "gpu"), ("mem_mbb", "mem_mb"), ("mem_gb", "mem_mb")]
)
def test_nearly_a_resource_is_refused(name, nearest, far):
    text = refused(check_resources, {"--set-resources": [name]}, KNOWN, far)
    assert all(word in text for word in ("--set-resources", f"'{name}'", f"'{nearest}'"))


def test_an_executor_may_know_further_resources():
    of_slurm = ("slurm_partition", "gpu_model", "mem_mb_per_cpu", "qos", "constraint", "tasks")
    check_resources({"--default-resources": of_slurm}, KNOWN, True)
    assert "qos" in refused(check_resources, {"--default-resources": of_slurm[3:4]}, KNOWN, False)


@pytest.fixture
def project(tmp_path):
    for name in ("gpu", "slurm_cpu"):
        folder = tmp_path / "profiles" / name
        folder.mkdir(parents=True)
        (folder / "profile.v9+.yaml").write_text("jobs: 2\n", encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize("name", [None, "none", "gpu", "profiles/gpu", "profiles/gpu/"])
def test_profiles_that_there_are_pass(project, name):
    check_profile("--workflow-profile", name, [project, project / "profiles"])
    check_profile("--workflow-profile", str(project / "profiles" / "gpu"), [Path("elsewhere")])


@pytest.mark.parametrize(
    ("name", "nearest"), [("profiles/gpus", "gpu"), ("slurm_cpus", "slurm_cpu"), ("/x/gqu", "gpu")]
)
def test_a_misspelt_profile_is_refused_with_the_nearest(project, name, nearest):
    folders = [project, project / "profiles"]
    text = refused(check_profile, "--workflow-profile", name, folders)
    assert all(word in text for word in ("--workflow-profile", f"'{name}'", f"'{nearest}'"))


def test_keys_of_a_profile_that_snakemake_drops_are_refused(tmp_path):
    path = tmp_path / "profile.v9+.yaml"
    path.write_text("set-resource: {prune_level: {mem_mb: 1}}\n", encoding="utf-8")
    text = refused(check_profile_file, path, {"set-resources", "jobs"})
    assert all(word in text for word in (str(path), "'set-resource'", "'set-resources'"))
    path.write_text("jobs: 1\njobs: 2\n", encoding="utf-8")
    assert "line 2" in refused(check_profile_file, path, {"jobs"})
    path.write_text("jobs: 1\nset-threads: {all: 1}\n", encoding="utf-8")
    check_profile_file(path, {"jobs", "set-threads"})


def test_a_folder_that_cannot_be_made_is_refused(tmp_path):
    check_writable(tmp_path / "a" / "b", "")
    assert not any((tmp_path / "a" / "b").iterdir())
    (tmp_path / "file").write_text("", encoding="utf-8")
    folder = tmp_path / "file" / "cache"
    text = refused(check_writable, folder, "set XDG_CACHE_HOME")
    assert all(word in text for word in (str(folder), "XDG_CACHE_HOME"))


@pytest.mark.parametrize("name", ["{0}", "a{b", "a}b/c"])
def test_braces_in_a_path_are_refused(tmp_path, name):
    check_folder_name(tmp_path)
    assert name in refused(check_folder_name, tmp_path / name)


def test_a_target_behind_configfile_is_told_apart_from_a_missing_file(tmp_path):
    option = "--configfile"
    assert "targets" in refused(check_configuration_file, option, Path("summarise"))
    (tmp_path / "thesis_mnist.yaml").write_text("a: 1\n", encoding="utf-8")
    for name in ("thesis_mnst.yaml", "thesis_mnist.yam"):
        text = refused(check_configuration_file, option, tmp_path / name)
        assert str(tmp_path / name) in text
        assert "thesis_mnist.yaml'" in text
    check_configuration_file(option, tmp_path / "thesis_mnist.yaml")
