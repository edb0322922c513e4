"""How large the house is: lines, files, modules that one other module imports, tests, README.

`make house` prints it. Counts are of the library (`src/sparsight`), of what pytest collects, and of
the README.
"""

import ast
import io
import re
import subprocess
import sys
import tokenize
from pathlib import Path

import grimp

ROOT = Path(__file__).parents[1]
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
    }
    for name, count in rows.items():
        print(f"{name:<28} {count:>8,}")


if __name__ == "__main__":
    main()
