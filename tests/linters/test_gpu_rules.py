"""A rule that asks for a GPU says how much of its memory, and its script takes it first of all."""

import ast

import pytest

from tests.linters.test_workflow import JOBS, per_job

FRAME = "job(snakemake.log[0])"
SLOT = "gpu_slot(snakemake.resources.gpu, snakemake.resources.vram_mb)"


def frame_of(text):
    """What a script's one `with` enters, in order; nothing where other code runs before it."""
    allowed = (ast.Import, ast.ImportFrom)
    body = [node for node in ast.parse(text).body if not isinstance(node, allowed)]
    # the docstring, and the block that holds everything else
    if len(body) != 2 or not isinstance(body[1], ast.With):
        return []
    return [ast.unparse(item.context_expr) for item in body[1].items]


def imported_before(text):
    """Modules that a script imports before its frame."""
    nodes = ast.parse(text).body
    modules = [node.module for node in nodes if isinstance(node, ast.ImportFrom)]
    others = [a.name for node in nodes if isinstance(node, ast.Import) for a in node.names]
    return {*modules, *others}


@per_job
def test_a_job_takes_its_gpu_before_anything_imports_torch(rule):
    asks = "gpu" in rule.keywords("resources")
    text = rule.path("script").read_text(encoding="utf-8")
    assert frame_of(text) == ([FRAME, SLOT] if asks else [FRAME]), (
        "CUDA reads CUDA_VISIBLE_DEVICES once: the GPU is chosen before torch is there"
    )
    allowed = {"sparsight.io.job", *(["sparsight.io.gpu_slots"] if asks else [])}
    assert imported_before(text) == allowed


@per_job
def test_a_job_with_a_gpu_reserves_memory_of_it(rule):
    words = rule.keywords("resources")
    assert ("gpu" in words) == ("vram_mb" in words)


def test_some_rules_ask_for_a_gpu():
    assert sum("gpu" in rule.keywords("resources") for rule in JOBS) > 5


# --- the rules above can fail


@pytest.mark.parametrize(
    ("text", "frame", "modules"),
    [
        (f"'x'\nfrom a import b\nwith {FRAME}, {SLOT}:\n    import c\n", [FRAME, SLOT], {"a"}),
        (f"'x'\nimport torch\nwith {FRAME}:\n    pass\n", [FRAME], {"torch"}),
        (f"'x'\nstart()\nwith {FRAME}:\n    pass\n", [], set()),
        (f"'x'\nwith {FRAME}:\n    with {SLOT}:\n        pass\n", [FRAME], set()),
    ],
)
def test_frames_are_read(text, frame, modules):
    assert frame_of(text) == frame
    assert imported_before(text) == modules
