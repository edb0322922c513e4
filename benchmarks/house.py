"""How large the house is: lines, files, modules that one other module imports, tests, README.

`make house` prints it. Counts are of the library (`src/sparsight`), of what pytest collects, of the
README, and of the files that run when the tiny study of the tests is planned and computed. A file
runs where a function of it is called; what merely is imported does not count.
"""

import ast
import io
import re
import shutil
import subprocess
import sys
import tempfile
import tokenize
from pathlib import Path

import grimp

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "workflow")]

from project import Project  # noqa: E402

#: what a Python process runs at its start when the folder of this file is on its path
TRACER = """
import atexit, inspect, os, sys, threading

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
COMPREHENSIONS = {"<listcomp>", "<setcomp>", "<dictcomp>", "<genexpr>"}
# when the workflow is planned, from the reading of the configuration to a job's settings
ENTRANCES = {"load_configuration", "settings"}
called, entered = set(), 0 if sys.argv[0].endswith("snakemake") else 1


def note(frame, event, argument):
    global entered
    code = frame.f_code
    if code.co_name in ENTRANCES and code.co_filename.endswith("common.smk"):
        entered += {"call": 1, "return": -1}.get(event, 0)
    if event == "call" and entered and code.co_flags & inspect.CO_OPTIMIZED:
        if code.co_name not in COMPREHENSIONS:
            called.add(code.co_filename)


def write():
    sys.setprofile(None)
    found = sorted(name for name in called if name.startswith(ROOT) and not name.startswith(HERE))
    name = os.path.basename(sys.argv[0]) + f".{os.getpid()}.txt"
    with open(os.path.join(HERE, name), "w") as file:
        file.write("\\n".join(found))


atexit.register(write)
threading.setprofile(note)
sys.setprofile(note)
"""
_LAYOUT = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT}


def code_lines(text: str) -> int:
    """Lines that hold code: no comment, no docstring, not blank."""
    docstrings: set[int] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            docstrings |= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in {*_LAYOUT, tokenize.ENDMARKER}:
            lines |= set(range(token.start[0], token.end[0] + 1))
    return len(lines - docstrings)


def single_importers(package: str) -> dict[str, int]:
    """Modules that exactly one other module of the package imports, with their lines."""
    graph = grimp.build_graph(package)
    found = {}
    for module in graph.modules:
        path = ROOT / "src" / Path(*module.split(".")).with_suffix(".py")
        importers = graph.find_modules_that_directly_import(module)
        if path.is_file() and len(importers) == 1:
            found[module] = len(path.read_text(encoding="utf-8").splitlines())
    return found


def test_items() -> int:
    """Tests that pytest collects."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return int(re.findall(r"^(\d+) tests? collected", done.stdout, re.M)[0])


def files_on_the_way() -> dict[str, int]:
    """Project files that run from a question to its answer, a job's script among them.

    Of a configuration value: what Snakemake runs to plan one level, from `config.yaml` to the job's
    settings. Of a mask: the job of one level. Of a correlation: the jobs from scores to
    `correlations.csv` and its figure.
    """
    with tempfile.TemporaryDirectory() as folder:
        project = Project(Path(folder) / "project", warm=False)
        listed = subprocess.run(
            ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
        )
        for name in listed.stdout.splitlines():
            if not name.startswith(("tests/", "docs/", "results/")):
                (project.folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, project.folder / name)
        project.configure(pruners=["tiny"], agreement=[])
        traces = project.folder / "traces"
        traces.mkdir()
        (traces / "sitecustomize.py").write_text(TRACER, encoding="utf-8")
        project.environment["PYTHONPATH"] += f":{traces}"
        project.run(
            "--dry-run", "results/tiny/digits/tiny/seed1/tiny/level01/checkpoint.safetensors"
        )
        planning = _files(traces, "snakemake")
        for path in traces.glob("*.txt"):
            path.unlink()
        project.run("--cores", "2", "--until", "draw_correlations")
        jobs = ("resample_images", "correlate", "draw_correlations")
        scripts = {name: _files(traces, f"*{name}.py") for name in ("prune_level", *jobs)}
        return {
            "files on the way of a setting": len(planning),
            "… of a mask": len(scripts["prune_level"]) + 1,
            "… of a correlation": len(set().union(*(scripts[name] for name in jobs))) + len(jobs),
        }


def _files(traces: Path, process: str) -> set[str]:
    """Files whose functions a kind of process has called."""
    return {
        line
        for path in traces.glob(f"{process}.*.txt")
        for line in path.read_text(encoding="utf-8").splitlines()
        if "/.snakemake/" not in line and not line.endswith("__init__.py")
    }


def main() -> None:
    """Print the counts."""
    texts = [path.read_text(encoding="utf-8") for path in (ROOT / "src/sparsight").rglob("*.py")]
    texts = [text for text in texts if text.strip()]
    alone = single_importers("sparsight")
    rows = {
        "library, lines": sum(len(text.splitlines()) for text in texts),
        "library, lines of code": sum(map(code_lines, texts)),
        "library, files": len(texts),
        "modules with one importer": len(alone),
        "… their lines": sum(alone.values()),
        "tests": test_items(),
        "README, bytes": (ROOT / "README.md").stat().st_size,
        **files_on_the_way(),
    }
    for name, count in rows.items():
        print(f"{name:<28} {count:>8,}")


if __name__ == "__main__":
    main()
