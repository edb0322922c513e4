"""House rules of the Python files: what ruff and mypy do not check."""

import ast
import io
import tokenize
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULES = sorted((ROOT / "src").rglob("*.py"))
SCRIPTS = sorted((ROOT / "workflow" / "scripts").rglob("*.py"))
# The console's plugin is in no job's hash, and Snakemake looks for its class in `__init__.py`.
INITS = [p for p in MODULES if p.name == "__init__.py" and "sparsight" in p.parent.parts]
RULES = [*sorted((ROOT / "workflow").rglob("*.smk")), ROOT / "Snakefile"]

# They run code that a file brings along.
UNSAFE_MODULES = {"pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
UNSAFE_CALLS = {"read_pickle", "unsafe_load", "full_load"}
LONGEST_SCRIPT = 20


def per_file(paths):
    return pytest.mark.parametrize("path", paths, ids=lambda p: p.relative_to(ROOT).as_posix())


def tree_of(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def where(nodes):
    return ", ".join(f"line {node.lineno}" for node in nodes)


def imported(tree):
    """(node, top-level package) of every import."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node, alias.name.partition(".")[0]) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node, (node.module or "").partition(".")[0]


def calls(tree):
    """(node, last part of the name, keyword arguments that are literals) of every call."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            literals = {
                word.arg: word.value.value
                for word in node.keywords
                if isinstance(word.value, ast.Constant)
            }
            yield node, name, literals


def unsafe_reading(tree):
    """What can run code from a data file, or write outside the folder of an archive."""
    found = [node for node, package in imported(tree) if package in UNSAFE_MODULES]
    for node, name, literals in calls(tree):
        owner = getattr(getattr(node.func, "value", None), "id", "")
        if (
            name in UNSAFE_CALLS
            or (owner, name) == ("yaml", "load")
            or ((owner, name) == ("torch", "load") and literals.get("weights_only") is not True)
            or literals.get("allow_pickle") is True
            or (name == "extractall" and literals.get("filter") != "data")
        ):
            found.append(node)
    return found


def code_lines(text):
    """Numbers of the lines that hold code: no comment, no docstring, not blank."""
    docstrings = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            docstrings |= {*range(node.lineno, node.end_lineno + 1)}
    layout = {
        tokenize.COMMENT,
        tokenize.NL,
        tokenize.NEWLINE,
        tokenize.INDENT,
        tokenize.DEDENT,
        tokenize.ENDMARKER,
    }
    lines = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in layout:
            lines |= {*range(token.start[0], token.end[0] + 1)}
    return lines - docstrings


def undocumented(tree):
    """Public functions and classes of a module without a docstring."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return [
        node
        for node in tree.body
        if isinstance(node, kinds) and not node.name.startswith("_") and not ast.get_docstring(node)
    ]


def computed_imports(tree):
    """Imports by a name known only when running, which the code hash cannot see."""
    return [
        node
        for node, name, _ in calls(tree)
        if name in ("import_module", "__import__", "exec", "eval")
        and not (isinstance(node.func, ast.Attribute) and name in ("exec", "eval"))
    ]


@per_file(MODULES + SCRIPTS)
def test_nothing_is_unpickled(path):
    found = unsafe_reading(tree_of(path))
    assert not found, (
        f"{where(found)}: use safetensors, weights_only=True, safe_load, filter='data'"
    )


@per_file(RULES)
def test_no_rule_file_unpickles(path):
    # Not Python, so no tree; a rule file has no business with data files anyway.
    first_words = [line.split()[:2] for line in path.read_text(encoding="utf-8").splitlines()]
    found = [
        words
        for words in first_words
        if words[:1] in (["import"], ["from"]) and words[-1].partition(".")[0] in UNSAFE_MODULES
    ]
    assert not found


@per_file(MODULES)
def test_library_prints_nothing(path):
    found = [node for node, name, _ in calls(tree_of(path)) if name == "print"]
    assert not found, f"{where(found)}: use logging"


@per_file(MODULES + SCRIPTS)
def test_no_bare_except(path):
    handlers = [n for n in ast.walk(tree_of(path)) if isinstance(n, ast.ExceptHandler)]
    found = [handler for handler in handlers if handler.type is None]
    assert not found, f"{where(found)}: name the exception"


@per_file(INITS)
def test_init_imports_nothing(path):
    found = [node for node, _ in imported(tree_of(path))]
    assert not found, (
        f"{where(found)}: each __init__.py belongs to the code hash of every job of its room, so "
        "what it imports would re-run them all"
    )


@per_file([path for path in MODULES if path.name != "registration.py"])
def test_imports_are_written_out(path):
    found = computed_imports(tree_of(path))
    assert not found, f"{where(found)}: only Registry.load may import by a computed name"


@per_file(MODULES)
def test_public_names_have_docstrings(path):
    found = undocumented(tree_of(path))
    assert not found, ", ".join(f"{node.name} (line {node.lineno})" for node in found)


@per_file(SCRIPTS)
def test_script_is_thin(path):
    count = len(code_lines(path.read_text(encoding="utf-8")))
    assert count <= LONGEST_SCRIPT, f"{count} lines of code, at most {LONGEST_SCRIPT}: call src"


# --- the rules above can fail


@pytest.mark.parametrize(
    "text",
    [
        "import pickle",
        "from dill import loads",
        "def f():\n    import joblib.parallel",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "np.load(path, allow_pickle=True)",
        "pd.read_pickle(path)",
        "yaml.load(text, Loader=yaml.Loader)",
        "archive.extractall(folder)",
    ],
)
def test_unsafe_reading_is_found(text):
    assert unsafe_reading(ast.parse(text))


@pytest.mark.parametrize(
    "text",
    ["torch.load(p, weights_only=True)", "yaml.safe_load(t)", "t.extractall(f, filter='data')"],
)
def test_safe_reading_is_allowed(text):
    assert not unsafe_reading(ast.parse(text))


def test_code_lines_are_counted():
    text = '"""Doc.\n\nMore."""\n# comment\nimport os\n\nf(\n    1,  # one\n\n    2,\n)\n'
    text += 'x = """a\nb"""\n'
    assert len(code_lines(text)) == 7


def test_undocumented_names_are_found():
    text = 'def a(): pass\ndef b():\n    "B."\nclass C: pass\ndef _d(): pass\n'
    assert [node.name for node in undocumented(ast.parse(text))] == ["a", "C"]


def test_computed_imports_are_found():
    found = computed_imports(ast.parse("importlib.import_module(x)\n__import__(x)\nmodel.eval()\n"))
    assert [node.lineno for node in found] == [1, 2]
