"""A rule that asks for a GPU says how much of its memory, and its script takes it first of all."""

import ast

import pytest

from tests.linters.source_files import listed, text_of
from tests.linters.test_workflow import JOBS, offences

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


def wrong_frames(text, asks):
    """What a script enters and imports otherwise than its rule's wish for a GPU demands."""
    frame = frame_of(text)
    if frame != ([FRAME, SLOT] if asks else [FRAME]):
        yield f"the script enters {', '.join(frame)}"
    allowed = {"sparsight.io.job", *(["sparsight.io.gpu"] if asks else [])}
    if imported_before(text) != allowed:
        yield f"the script first imports {', '.join(sorted(imported_before(text)))}"


def test_jobs_take_their_gpu_before_anything_imports_torch():
    def check(rule):
        asks = "gpu" in rule.keywords("resources")
        return wrong_frames(text_of(rule.path("script")), asks)

    found = offences(check, [rule for rule in JOBS if "script" in rule.directives])
    assert not found, listed(
        found, "CUDA reads CUDA_VISIBLE_DEVICES once: the GPU is chosen before torch is there"
    )


def test_jobs_with_a_gpu_reserve_memory_of_it():
    asked = {rule.place: {"gpu", "vram_mb"} & {*rule.keywords("resources")} for rule in JOBS}
    found = [f"{place}: only {words}" for place, words in asked.items() if len(words) == 1]
    assert not found, listed(found)


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


def test_wrong_frames_are_found():
    imports = "from sparsight.io.job import job"
    text = f"'x'\n{imports}\nwith {FRAME}:\n    pass\n"
    assert [*wrong_frames(text, False)] == []
    assert len([*wrong_frames(text, True)]) == 2
    assert len([*wrong_frames(text.replace(imports, "import torch"), False)]) == 1
