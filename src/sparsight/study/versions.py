"""Which version of its code a job ran: what re-runs it when numbers change, and only then.

A stage is a piece of the workflow whose numbers change together: training, scoring, a table, a
figure. `VERSION = 1` next to its code is raised when its numbers change; a registered item states
its own as the class attribute `version`. Both are among a job's params, so that raising one re-runs
the jobs that use it, and a reworded message or a moved module re-runs nothing. `tests/golden` names
the version to raise where numbers change.

`--config track_code=true` adds the content hash of the code (`CodeVersion`), for developers who
want every edit to re-run what it touches.
"""

import ast
import difflib
import functools
import hashlib
import importlib.util
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from sparsight.io.errors import InputError
from sparsight.registration import Item

#: next to the stages, with `track_code`: the hash of the code
CODE = "code"
#: stage to the module that states its VERSION, or `module:NAME` where a module has several
STAGES = {
    "fetching": "sparsight.data.packing:FETCHING_VERSION",
    "packing": "sparsight.data.packing",
    "weights": "sparsight.models.weights",
    "tracing": "sparsight.models.tracing",
    "training": "sparsight.training.loop",
    "pruning": "sparsight.pruning.rounds",
    "given": "sparsight.pruning.given",
    "explaining": "sparsight.explain.run",
    "scoring": "sparsight.metrics.run",
    "agreement": "sparsight.metrics.run:AGREEMENT_VERSION",
    "features": "sparsight.concepts.features",
    "concepts": "sparsight.concepts.run",
    "sample_pruning": "sparsight.spade.copies",
    "sparsity_search": "sparsight.spade.search",
    "visualisation": "sparsight.spade.visualisation",
    "toy": "sparsight.spade.toy",
    "summary": "sparsight.analysis.summarise",
    "agreement_table": "sparsight.analysis.agreement",
    "exemplars": "sparsight.analysis.exemplars",
    "curves_table": "sparsight.analysis.summarise:CURVES_VERSION",
    "concepts_table": "sparsight.analysis.concepts",
    "sample_pruning_table": "sparsight.analysis.sample_pruning",
    "resampling": "sparsight.analysis.resample",
    "contrasts": "sparsight.analysis.contrasts",
    "correctness": "sparsight.analysis.contrasts:CORRECTNESS_VERSION",
    "correlations": "sparsight.analysis.correlate",
    "strata": "sparsight.analysis.contrasts:STRATA_VERSION",
    "claims": "sparsight.analysis.claims.decide",
    "costs": "sparsight.analysis.costs",
    "provenance": "sparsight.analysis.provenance",
    "atlas": "sparsight.atlas.write",
    "concept_tables_page": "sparsight.plots.pages:CONCEPT_TABLES_PAGE_VERSION",
    "guide_page": "sparsight.plots.pages:GUIDE_PAGE_VERSION",
    "report_pages": "sparsight.plots.report",
    "verdicts_page": "sparsight.plots.verdicts",
    "figure_accuracy": "sparsight.plots.accuracy",
    "figure_agreement": "sparsight.plots.agreement",
    "figure_claims": "sparsight.plots.claims",
    "figure_concept_sheet": "sparsight.plots.concept_sheet",
    "figure_concepts": "sparsight.plots.concepts",
    "figure_contrasts": "sparsight.plots.contrasts",
    "figure_correctness": "sparsight.plots.contrasts:CORRECTNESS_VERSION",
    "figure_correlation_table": "sparsight.plots.correlations:CORRELATION_TABLE_VERSION",
    "figure_correlations": "sparsight.plots.correlations",
    "figure_curves": "sparsight.plots.step_curves",
    "figure_heatmaps": "sparsight.plots.heatmaps",
    "figure_metric": "sparsight.plots.metric",
    "figure_sample_pruning": "sparsight.plots.sample_pruning",
    "figure_strata": "sparsight.plots.contrasts:STRATA_VERSION",
    "figure_toy": "sparsight.plots.toy",
    "figure_visualisation": "sparsight.plots.visualisation_sheet",
}


def versions(stages: Iterable[str], items: Iterable[Item] = ()) -> dict[str, int | str]:
    """Name of each stage and item to its version, read from the source without importing it.

    Parameters
    ----------
    stages : keys of `STAGES`, or modules of your own that state a VERSION.
    items : what the job's settings name, as `Registry.item` gives it.

    Returns
    -------
    Stage to its number; kind and name of an item (`explainer saliency`) to the name of its class
    and its number (`Saliency 1`), so that another class behind a name is another version.

    Raises
    ------
    InputError
        When a module states no version, or another than a whole number from 1.
    """
    found: dict[str, int | str] = {}
    for stage in stages:
        module, _, name = STAGES.get(stage, stage).partition(":")
        found[stage] = _whole_numbers(module).get(name or "VERSION", 0)
        if found[stage] == 0:
            raise InputError(f"{module} must state {name or 'VERSION'}, a whole number from 1")
    for item in items:
        found[f"{item.kind} {item.name}"] = f"{item.attribute} {item.version}"
    return found


@functools.cache
def _whole_numbers(module: str) -> dict[str, int]:
    """Constants of a module that are whole numbers from 1."""
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise InputError(f"there is no module {module}; correct STAGES in {__name__}")
    return {
        target.id: node.value.value
        for node in ast.parse(Path(spec.origin).read_text(encoding="utf-8")).body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
        if type(node.value.value) is int and node.value.value > 0
        for target in node.targets
        if isinstance(target, ast.Name)
    }


class _File(NamedTuple):
    """What a job's hash needs to know of one source file."""

    digest: str
    imports: frozenset[str]


class CodeVersion:
    """Content hashes of scripts together with the code that they import.

    Every file is read once in the life of the object: one planning sees one state of the code.

    Parameters
    ----------
    scripts, source : folders that hold the scripts, and the package's folder.
    package : whose modules count; other imports belong to the environment.
    """

    def __init__(self, scripts: Path, source: Path, package: str = "sparsight") -> None:
        self.scripts, self.source, self.package = scripts, source, package
        self._file = functools.cache(self._read)
        self._hash = functools.cache(self._hash_of)

    def __call__(self, script: str, *modules: str) -> str:
        """Hash of a script, of `modules` and of everything that these import.

        Parameters
        ----------
        script : name of the script ("train_dense.py").
        modules : dotted paths of the modules of the items that the job names, in any order.

        Returns
        -------
        16 hexadecimal characters; another Python version may give others.

        Raises
        ------
        InputError : a script or module does not exist, or does not parse.
        """
        return self._hash(script, *modules)

    def _hash_of(self, *names: str) -> str:
        lines = (f"{name} {digest}" for name, digest in self.closure(*names).items())
        return _sha256("\n".join(lines))[:16]

    def closure(self, script: str, *modules: str) -> dict[str, str]:
        """Digest of every file behind a job, by script or module name, sorted by name.

        This is what to compare when a job re-runs and nobody knows why.
        """
        digests: dict[str, str] = {}
        waiting = {script, *modules}
        while waiting:
            name = waiting.pop()
            # A registry names every item there is. Were it hashed, or its neighbours followed,
            # registering one metric would re-run every job that looks a metric up. What a job
            # takes from the table enters its hash as the module of each item that it names.
            if name not in digests and name.rpartition(".")[2] != "registry":
                digests[name] = self._file(name).digest
                waiting |= self._file(name).imports
        return dict(sorted(digests.items()))

    def _read(self, name: str) -> _File:
        """Read a script (`….py`) or a module."""
        module = "" if name.endswith(".py") else name
        path = self._path(name) if module or not name else self.scripts / name
        if path is None or not path.is_file():
            near = difflib.get_close_matches(name, [p.name for p in self.scripts.glob("*.py")], 1)
            hint = f"; did you mean '{near[0]}'?" if near else ""
            raise InputError(f"There is no '{name}' in {self.scripts} or {self.source}{hint}")
        try:
            tree = ast.parse(path.read_bytes())
            imports = frozenset(self._imports(tree, path, module))
        except SyntaxError as error:
            raise InputError(
                f"{path} line {error.lineno} is not valid Python: {error.msg}."
            ) from error
        except ValueError as error:  # a null byte
            raise InputError(f"{path} is not a Python text file: {error}.") from error
        return _File(_sha256(_significant(tree)), imports)

    def _path(self, module: str) -> Path | None:
        """File of a module: of the package, or next to the scripts, which may import each other."""
        inside = module.partition(".")[0] == self.package
        base = (self.source if inside else self.scripts).joinpath(*module.split("."))
        candidates = (base / "__init__.py", base.with_name(f"{base.name}.py"))
        return next((path for path in candidates if path.is_file()), None)

    def _imports(self, tree: ast.Module, path: Path, module: str) -> Iterator[str]:
        """Modules that run before or with a file: those it imports anywhere, and its package."""
        parent = module.rpartition(".")[0]
        found = [parent]
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                origins = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                relative = "." * node.level + (node.module or "")
                package = module if path.name == "__init__.py" else parent
                try:
                    origins = [importlib.util.resolve_name(relative, package)]
                except ImportError as error:
                    raise InputError(
                        f"{path} line {node.lineno} imports from above its package, or from a "
                        "script: name the module in full."
                    ) from error
                # A name imported from a package is a module or an attribute: only the files tell.
                found += [f"{origins[0]}.{alias.name}" for alias in node.names]
            else:
                continue
            for origin in origins:
                inside = origin.partition(".")[0] == self.package
                if (
                    inside
                    and not self._path(origin)
                    and not self.source.joinpath(*origin.split(".")).is_dir()
                ):
                    raise InputError(
                        f"{path} line {node.lineno} imports '{origin}', which is not under "
                        f"{self.source}."
                    )
            found += origins
        yield from (name for name in found if name and self._path(name))


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


class _WithoutNotes(ast.NodeTransformer):
    """Takes out statements that are just a string: docstrings, and notes like them."""

    def visit_Expr(self, node: ast.Expr) -> ast.Expr | None:
        """Nothing in the place of a note."""
        is_note = isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        return None if is_note else node


def _significant(tree: ast.Module) -> str:
    """Source without comments, docstrings and layout."""
    return ast.unparse(_WithoutNotes().visit(tree))
