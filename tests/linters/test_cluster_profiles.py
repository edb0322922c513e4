"""What runs on a cluster, what runs beside Snakemake, and what asks for a GPU."""

import ast

from tests.linters.source_files import ROOT, listed
from tests.linters.test_workflow import JOBS, content_of, offences, rules_in

#: MB up to which a rule is light; `growing(2000)` in the rules of figures
LIGHT = 2000


def is_local(rule):
    return "localrule" in rule.directives


def memory_of(rule):
    """MB at the first attempt; None where it depends on the job."""
    match rule.words("resources").get("mem_mb"):
        case ast.Call(args=[first]):
            return first.value if isinstance(first, ast.Constant) else None
    raise ValueError(f"{rule.place}: mem_mb is not growing(...)")


def asks_for_a_gpu(rule):
    return "gpu" in rule.keywords("resources")


def wrong_places_to_run(rule):
    memory = memory_of(rule)
    if is_local(rule) != (memory is not None and memory <= LIGHT):
        yield f"localrule is {is_local(rule)}, and the memory {memory} MB"


def test_light_rules_run_beside_snakemake_and_others_on_the_cluster():
    found = offences(wrong_places_to_run)
    assert not found, listed(
        found, "`localrule: True` belongs to rules that download, draw or write little"
    )


def test_what_runs_beside_snakemake_needs_no_gpu():
    assert [rule.place for rule in JOBS if is_local(rule) and asks_for_a_gpu(rule)] == []


def test_downloads_run_beside_snakemake():
    # nodes of a cluster often have no way out
    assert {"fetch_dataset", "fetch_weights"} <= {rule.name for rule in JOBS if is_local(rule)}


def test_without_gpus_no_rule_asks_for_one():
    content = content_of(ROOT / "profiles" / "slurm_cpu")
    wanted = {rule.name: {"gpu": 0} for rule in JOBS if asks_for_a_gpu(rule)}
    assert content["set-resources"] == wanted


def test_profiles_of_clusters_differ_in_gpus_only():
    content = content_of(ROOT / "profiles" / "slurm_cpu")
    del content["set-resources"]
    assert content == content_of(ROOT / "profiles" / "slurm")


def test_rules_are_read():
    text = '''
rule draw:
    """Draw."""
    output:
        png="a",
    localrule: True
    resources:
        mem_mb=growing(2000),
    script:
        "a.py"


rule prune:
    """Prune."""
    output:
        weights="b",
    resources:
        mem_mb=growing(memory),
        gpu=1,
    script:
        "b.py"
'''
    draw, prune = rules_in(text)
    assert (is_local(draw), memory_of(draw), asks_for_a_gpu(draw)) == (True, 2000, False)
    assert (is_local(prune), memory_of(prune), asks_for_a_gpu(prune)) == (False, None, True)
    assert [*wrong_places_to_run(draw), *wrong_places_to_run(prune)] == []
    del draw.directives["localrule"]
    assert len([*wrong_places_to_run(draw)]) == 1
