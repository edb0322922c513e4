"""House rules of the Python files: what ruff and mypy do not check."""

import ast
import io
import tokenize

import pytest

from tests.linters.source_files import (
    MODULES,
    RULE_FILES,
    SCRIPTS,
    listed,
    nodes_of,
    place,
    text_of,
    tree_of,
)

# The console's plugin is in no job's hash, and Snakemake looks for its class in `__init__.py`.
INITS = [p for p in MODULES if p.name == "__init__.py" and "sparsight" in p.parent.parts]

# They run code that a file brings along.
UNSAFE_MODULES = {"pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
UNSAFE_CALLS = {"read_pickle", "unsafe_load", "full_load"}
LONGEST_SCRIPT = 20


def imported(tree):
    """(node, top-level package) of every import."""
    for node in nodes_of(tree):
        if isinstance(node, ast.Import):
            yield from ((node, alias.name.partition(".")[0]) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node, (node.module or "").partition(".")[0]


def calls(tree):
    """(node, last part of the name, keyword arguments that are literals) of every call."""
    for node in nodes_of(tree):
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


def unpickling(text):
    """Lines of a rule file that import what unpickles; it has no business with data files."""
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()[:2]
        if words[:1] in (["import"], ["from"]) and words[-1].partition(".")[0] in UNSAFE_MODULES:
            yield number


def bare_excepts(tree):
    """Handlers that catch everything."""
    return [n for n in nodes_of(tree) if isinstance(n, ast.ExceptHandler) and n.type is None]


def prints(tree):
    return [node for node, name, _ in calls(tree) if name == "print"]


def found_in(paths, check):
    """Where a check of a tree finds something."""
    return [place(path, node.lineno) for path in paths for node in check(tree_of(path))]


def test_nothing_is_unpickled():
    found = found_in(MODULES + SCRIPTS, unsafe_reading)
    assert not found, listed(found, "use safetensors, weights_only=True, safe_load, filter='data'")


def test_no_rule_file_unpickles():
    found = [place(path, line) for path in RULE_FILES for line in unpickling(text_of(path))]
    assert not found, listed(found)


def test_library_prints_nothing():
    found = found_in(MODULES, prints)
    assert not found, listed(found, "use logging")


def test_no_bare_except():
    found = found_in(MODULES + SCRIPTS, bare_excepts)
    assert not found, listed(found, "name the exception")


def test_init_imports_nothing():
    def of_the_project(tree):
        return [node for node, package in imported(tree) if package == "sparsight"]

    found = found_in(INITS, of_the_project)
    assert not found, listed(
        found,
        "each __init__.py belongs to the code hash of every job of its room, so what it imports "
        "would re-run them all; public names are imported when they are used",
    )


def test_imports_are_written_out():
    paths = [path for path in MODULES if path.name not in ("__init__.py", "registration.py")]
    found = found_in(paths, computed_imports)
    assert not found, listed(found, "only Registry.load and public names may do so")


def test_public_names_have_docstrings():
    found = [
        f"{place(path, node.lineno)}: {node.name}"
        for path in MODULES
        for node in undocumented(tree_of(path))
    ]
    assert not found, listed(found)


def test_scripts_are_thin():
    counts = {path: len(code_lines(text_of(path))) for path in SCRIPTS}
    found = [
        f"{place(path, 1)}: {count} lines of code"
        for path, count in counts.items()
        if count > LONGEST_SCRIPT
    ]
    assert not found, listed(found, f"at most {LONGEST_SCRIPT} lines of code: call src")


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


def test_imports_of_rule_files_are_found():
    text = "import os\nimport pickle\nfrom joblib.parallel import x\npickle = 1\n"
    assert [*unpickling(text)] == [2, 3]


def test_printing_and_bare_excepts_are_found():
    tree = ast.parse("try:\n    print(1)\nexcept OSError:\n    pass\nexcept:\n    pass\n")
    assert [node.lineno for node in prints(tree)] == [2]
    assert [node.lineno for node in bare_excepts(tree)] == [5]
