"""The hash of a job's code changes with the code that the job runs, and with nothing else."""

import ast
import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparsight.io.errors import InputError
from sparsight.study import versions as module
from sparsight.study.versions import CodeVersion

SCRIPT = "score.py"
FILES = {
    "scripts/score.py": '"""Score."""\nfrom lib.metrics.base import score\n\nscore(1)\n',
    "scripts/draw.py": "import lib.plots\n",
    "src/lib/__init__.py": '"""A library."""\n',
    "src/lib/metrics/__init__.py": "",
    "src/lib/metrics/base.py": "from ..io import arrays\nfrom lib.metrics.registry import T\n",
    "src/lib/metrics/gini.py": "def gini(x):\n    from lib import maths\n\n    return maths.f(x)\n",
    "src/lib/metrics/iou.py": "import lib.metrics.deep.kernel as k\n",
    "src/lib/metrics/deep/__init__.py": "",
    "src/lib/metrics/deep/kernel.py": "from . import helper\n",
    "src/lib/metrics/deep/helper.py": "A = 1\n",
    "src/lib/metrics/registry.py": "import lib.metrics.exotic\nT = {'gini': 'lib.metrics.gini'}\n",
    "src/lib/metrics/exotic.py": "E = 1\n",
    "src/lib/io/__init__.py": "",
    "src/lib/io/arrays.py": "import numpy\n",
    "src/lib/maths.py": "import lib.metrics.gini\ndef f(x):\n    return x\n",
    "src/lib/plots.py": "P = 1\n",
}


@pytest.fixture
def tree(tmp_path):
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def versions(tree):
    return CodeVersion(tree / "scripts", tree / "src", "lib")


def version(tree, *modules):
    return versions(tree)(SCRIPT, *modules)


def edit(tree, name, old, new):
    path = tree / name
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_hash_is_16_hexadecimal_characters_and_repeats(tree):
    first = version(tree, "lib.metrics.gini")
    assert len(first) == 16
    assert int(first, 16) >= 0
    assert first == version(tree, "lib.metrics.gini")


def test_closure_holds_what_the_job_runs(tree):
    assert set(versions(tree).closure(SCRIPT, "lib.metrics.gini")) == {
        SCRIPT,
        "lib",
        "lib.metrics",
        "lib.metrics.base",
        "lib.io",
        "lib.io.arrays",
        "lib.metrics.gini",
        "lib.maths",
    }


@pytest.mark.parametrize(
    ("name", "appended"),
    [
        ("scripts/score.py", "score(2)\n"),
        ("src/lib/__init__.py", "A = 1\n"),
        ("src/lib/metrics/__init__.py", "A = 1\n"),
        ("src/lib/metrics/base.py", "A = 1\n"),
        ("src/lib/io/arrays.py", "A = 1\n"),
        ("src/lib/metrics/gini.py", "A = 1\n"),
        ("src/lib/maths.py", "A = 1\n"),
    ],
)
def test_edit_of_code_behind_the_job_changes_the_hash(tree, name, appended):
    before = version(tree, "lib.metrics.gini")
    path = tree / name
    path.write_text(path.read_text() + appended)
    assert version(tree, "lib.metrics.gini") != before


@pytest.mark.parametrize(
    "name",
    [
        "src/lib/plots.py",
        "scripts/draw.py",
        "src/lib/metrics/iou.py",
        "src/lib/metrics/registry.py",
        "src/lib/metrics/exotic.py",
    ],
)
def test_edit_of_other_code_changes_nothing(tree, name):
    before = version(tree, "lib.metrics.gini")
    path = tree / name
    path.write_text(path.read_text() + "import lib.plots\nA = 1\n")
    assert version(tree, "lib.metrics.gini") == before


def test_named_registry_is_left_out_too(tree):
    assert version(tree, "lib.metrics.registry") == version(tree)


def test_relative_imports_are_followed(tree):
    closure = versions(tree).closure(SCRIPT, "lib.metrics.iou")
    assert {"lib.metrics.deep.kernel", "lib.metrics.deep.helper", "lib.metrics.deep"} <= {*closure}


def test_relative_import_of_a_package_file_starts_at_the_package(tree):
    (tree / "src/lib/io/__init__.py").write_text("from . import arrays\n")
    (tree / "scripts/score.py").write_text("import lib.io\n")
    assert "lib.io.arrays" in versions(tree).closure(SCRIPT)


def test_script_beside_the_script_is_followed(tree):
    edit(tree, "scripts/score.py", "score(1)", "import draw\nscore(1)")
    assert "lib.plots" in versions(tree).closure(SCRIPT)


def test_folder_without_init_is_followed(tree):
    (tree / "src/lib/io/__init__.py").unlink()
    assert "lib.io.arrays" in versions(tree).closure(SCRIPT)


def test_modules_count_in_any_order_and_once(tree):
    pair = ["lib.metrics.gini", "lib.metrics.iou"]
    hashes = {version(tree, *names) for names in itertools.permutations([*pair, pair[0]])}
    assert len(hashes) == 1
    assert hashes.isdisjoint({version(tree), version(tree, pair[0]), version(tree, pair[1])})


def test_scripts_with_equal_code_differ(tree):
    (tree / "scripts/twin.py").write_text((tree / "scripts/score.py").read_text())
    assert versions(tree)("twin.py") != version(tree)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        ((SCRIPT, "lib.metrics.ginny"), ["lib.metrics.ginny"]),
        ((SCRIPT, ""), ["''"]),
        (("scroe.py",), ["scroe.py", "did you mean 'score.py'"]),
    ],
)
def test_unknown_name_is_one_sentence(tree, call, words):
    with pytest.raises(InputError) as caught:
        versions(tree)(*call)
    assert all(word in str(caught.value) for word in words)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x = 1\nimport lib.nothing\n", ["base.py line 2", "lib.nothing"]),
        ("from lib.nothing import x\n", ["base.py line 1", "lib.nothing"]),
        ("from ....above import x\n", ["base.py line 1", "above its package"]),
        ("x = (\n", ["base.py line 1"]),
        ("x = '\0'\n", ["base.py"]),
    ],
)
def test_file_that_cannot_be_followed_is_named(tree, text, words):
    (tree / "src/lib/metrics/base.py").write_text(text)
    with pytest.raises(InputError) as caught:
        version(tree)
    assert all(word in str(caught.value) for word in words)


def test_thirty_thousand_jobs_read_each_file_once(tree, monkeypatch):
    parsed = []

    def parse(text, *arguments):
        parsed.append(text)
        return ast.parse(text, *arguments)

    monkeypatch.setattr(module, "ast", SpyOn(ast, parse=parse))
    hash_of = versions(tree)
    walked = []
    walk = hash_of.closure
    monkeypatch.setattr(hash_of, "closure", lambda *names: walked.append(names) or walk(*names))
    modules = ["lib.metrics.gini", "lib.metrics.iou", "lib.plots"]
    for job in range(30_000):
        hash_of(SCRIPT, modules[job % 3])
    assert len(walked) == len(modules)
    assert len(parsed) == len(hash_of.closure(SCRIPT, *modules))


class SpyOn:
    """A module with some of its functions replaced."""

    def __init__(self, module, **replaced):
        self.__dict__ = {**vars(module), **replaced}


def test_two_objects_do_not_share_their_memory(tree):
    first = versions(tree)
    before = first(SCRIPT)
    edit(tree, "src/lib/io/arrays.py", "numpy", "scipy")
    assert first(SCRIPT) == before
    assert version(tree) != before


# --- what counts as code

CODE = '''\
"""Module."""
import os  # why


class A:
    """Class."""

    limit = 3
    """An attribute."""

    def f(self, x):
        """Function.

        Long.
        """
        # a comment
        text = """kept

        as it is  # no comment
        """
        return f"{x!r:>{self.limit}} # {text}" + 'ä'


def g(): "Short, ä"; return (1,
    2)
'''


def significant(text):
    return module._significant(ast.parse(text))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"""Module."""\n', ""),
        ('"""Module."""', "'''Another\n\none.'''  # noqa"),
        ('"""Module."""', '("""In brackets,"""\n    " of two parts.")'),
        ("  # why", ""),
        ("        # a comment\n", "        # another\n\n    # one\n"),
        ('"""Class."""', '"""Class, ä."""'),
        ('    """An attribute."""\n', ""),
        ("        Long.\n", "        Longer.\n\n        By much.\n"),
        ('"Short, ä"', '"Shorter, äöü"'),
        ("\n\n\nclass", "\nclass"),
        ("    limit = 3", "    limit=3   "),
        ("(1,\n    2)", "(1, 2)"),
        ("(1,\n    2)", "( # one\n1,\n# two\n2)"),
        ("\n", "\r\n"),
        ('"""Module."""\n', '\ufeff"""Module."""\n'),
        ("\n\n\ndef g", "\n\x0c\n\ndef g"),
        ("    2)\n", "    2)"),
    ],
)
def test_comment_docstring_and_layout_are_no_code(tmp_path, old, new):
    assert old in CODE
    scripts = CodeVersion(tmp_path, tmp_path, "lib")
    before, after = (tmp_path / name / "s.py" for name in ("before", "after"))
    for path, text in [(before, CODE), (after, CODE.replace(old, new))]:
        path.parent.mkdir()
        path.write_bytes(text.encode())
    assert CodeVersion(before.parent, tmp_path)("s.py") == CodeVersion(after.parent, tmp_path)(
        "s.py"
    )
    assert scripts("before/s.py") != ""


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("limit = 3", "limit = 4"),
        ("kept\n\n", "kept\n"),
        ("  # no comment", "  # changed"),
        (">{self.limit}", "<{self.limit}"),
        ("{x!r:", "{x!s:"),
        ("} # {", "} ## {"),
        ("'ä'", "'ö'"),
        ("import os", "import sys"),
        ("return (1,\n    2)", "return (1,\n    3)"),
        ("        return f", "    return f"),
        ('"Short, ä"; return', 'x = "Short, ä"; return'),
    ],
)
def test_change_of_code_changes_the_hash(old, new):
    assert old in CODE
    assert significant(CODE.replace(old, new)) != significant(CODE)


def test_statement_that_moves_out_of_a_block_changes_the_hash():
    assert significant("if a:\n    b\n    c\n") != significant("if a:\n    b\nc\n")


@settings(deadline=None)
@given(st.text(st.characters(codec="utf-8", exclude_characters="\r\0")))
def test_any_comment_is_no_code_and_any_string_is(text):
    line = text.replace("\n", " ").replace("\x0c", " ")
    assert significant(f"x = 1  # {line}\n") == significant("x = 1\n")
    assert significant(f"{text!r}\nx = 1\n") == significant("x = 1\n")
    assert (significant(f"x = {text!r}\n") == significant("x = ''\n")) == (text == "")
