"""Which version of its code a job ran: what re-runs it when numbers change, and only then.

A stage is a piece of the workflow whose numbers change together: training, explaining, scoring, a
table, a figure. Beside its code stands `VERSION = 1`, to be raised when its numbers change; a
registered item (an explainer, a metric, a criterion) states its own as the class attribute
`version`. Both are among a job's params, so that raising one re-runs the jobs that use it, and a
reworded message, a moved module or a faster loop re-runs nothing. `tests/golden` holds numbers of
every stage and names the version to raise where they change.

`--config track_code=true` adds the content hash of the code (`code_version`), for developers who
want every edit to re-run what it touches.
"""

import ast
import difflib
import functools
import hashlib
import importlib.util
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from sparsight.io.errors import InputError
from sparsight.registration import Item

#: next to the stages, with `track_code`: the hash of the code
CODE = "code"
#: stage to the module that states its VERSION, or `module:NAME` where a module has several
STAGES = {
    "fetching": "sparsight.data.packing:FETCHING_VERSION",
    "packing": "sparsight.data.packing",
    "weights": "sparsight.models.weights",
    "training": "sparsight.training.loop",
    "pruning": "sparsight.pruning.rounds",
    "explaining": "sparsight.explain.run",
    "scoring": "sparsight.metrics.run",
    "agreement": "sparsight.metrics.run:AGREEMENT_VERSION",
    "conversion": "sparsight.pruning.conversion",
    "features": "sparsight.concepts.features",
    "concepts": "sparsight.concepts.run",
    "sample_pruning": "sparsight.spade.copies",
    "sparsity_search": "sparsight.spade.search",
    "visualisation": "sparsight.spade.visualisation",
    "toy": "sparsight.spade.toy",
    "summary": "sparsight.analysis.summarise",
    "agreement_table": "sparsight.analysis.agreement",
    "curves_table": "sparsight.analysis.step_curves",
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
    "concept_tables_page": "sparsight.plots.pages:CONCEPT_TABLES_PAGE_VERSION",
    "guide_page": "sparsight.plots.pages:GUIDE_PAGE_VERSION",
    "figure_accuracy": "sparsight.plots.accuracy",
    "figure_agreement": "sparsight.plots.agreement",
    "figure_claims": "sparsight.plots.claims",
    "figure_concept_sheet": "sparsight.plots.concept_sheet",
    "figure_concepts": "sparsight.plots.concepts",
    "figure_contrasts": "sparsight.plots.contrasts",
    "figure_conversion": "sparsight.plots.conversion",
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


class Versions:
    """Versions of stages and items, read from the source without importing it.

    Every file is read once in the life of the object: one planning sees one state of the code.
    """

    def __init__(self) -> None:
        self._numbers = functools.cache(_whole_numbers)

    def __call__(self, stages: Iterable[str], items: Iterable[Item] = ()) -> dict[str, int | str]:
        """Name of each stage and item to its version.

        Parameters
        ----------
        stages : keys of `STAGES`, or modules of your own that state a VERSION.
        items : what the job's settings name, as `Registry.item` gives it.

        Returns
        -------
        Stage to its number; kind and name of an item (`explainer saliency`) to the name of its
        class and its number (`Saliency 1`), so that another class behind a name is another version.

        Raises
        ------
        InputError
            When a module states no version, or another than a whole number from 1.
        """
        found: dict[str, int | str] = {
            stage: self._stated(STAGES.get(stage, stage)) for stage in stages
        }
        for item in items:
            found[f"{item.kind} {item.name}"] = f"{item.attribute} {item.version}"
        return found

    def _stated(self, place: str) -> int:
        module, _, name = place.partition(":")
        version = self._numbers(module).get(name or "VERSION", 0)
        if version < 1:
            raise InputError(f"{module} must state {name or 'VERSION'}, a whole number from 1")
        return version


def _whole_numbers(module: str) -> dict[str, int]:
    """Constants of a module that are whole numbers."""
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise InputError(f"there is no module {module}; correct STAGES in {__name__}")
    return {
        target.id: node.value.value
        for node in ast.parse(Path(spec.origin).read_text(encoding="utf-8")).body
        if isinstance(node, ast.Assign)
        and isinstance(node.value, ast.Constant)
        and type(node.value.value) is int
        for target in node.targets
        if isinstance(target, ast.Name)
    }


_REGISTRY = "registry"


@dataclass(frozen=True)
class _File:
    """What a job's hash needs to know of one source file."""

    digest: str
    imports: frozenset[str]


class CodeVersion:
    """Content hashes of scripts together with the code that they import.

    Every file is read once in the life of the object and every combination of arguments is
    answered from memory after the first time, so a graph of tens of thousands of jobs costs as
    much as its few distinct combinations. Edits made after that are not seen: one planning of the
    workflow sees one state of the code.

    Parameters
    ----------
    scripts : folder that holds the scripts.
    source : folder that holds the package folder.
    package : name of the package whose modules count; other imports belong to the environment.
    """

    def __init__(self, scripts: Path, source: Path, package: str = "sparsight") -> None:
        self.scripts = Path(scripts)
        self.source = Path(source)
        self.package = package
        self._files: dict[str, _File] = {}
        self._versions: dict[tuple[str, ...], str] = {}

    def __call__(self, script: str, *modules: str) -> str:
        """Hash of a script, of `modules` and of everything that these import.

        Parameters
        ----------
        script : path of the script inside the scripts folder ("train_dense.py").
        modules : dotted paths of the modules of the registered items that the job names, in any
            order.

        Returns
        -------
        16 hexadecimal characters; another Python version may give others.

        Raises
        ------
        InputError : a script or module does not exist, or does not parse.
        """
        arguments = (script, *modules)
        if arguments not in self._versions:
            lines = (f"{name} {digest}" for name, digest in self.closure(script, *modules).items())
            self._versions[arguments] = _sha256("\n".join(lines))[:16]
        return self._versions[arguments]

    def closure(self, script: str, *modules: str) -> dict[str, str]:
        """Digest of every file behind a job, by script or module name, sorted by name.

        This is what to compare when a job re-runs and nobody knows why.
        """
        digests = {script: self._script(script).digest}
        waiting = {*self._script(script).imports, *modules}
        while waiting:
            module = waiting.pop()
            # A registry names every item there is. Were it hashed, or its neighbours followed,
            # registering one metric would re-run every job that looks a metric up. What a job
            # takes from the table enters its hash as the module of each item that it names.
            if module in digests or _is_registry(module):
                continue
            file = self._module(module)
            digests[module] = file.digest
            waiting |= file.imports | self._parent(module)
        return dict(sorted(digests.items()))

    def _script(self, script: str) -> _File:
        if script not in self._files:
            path = self.scripts / script
            if not path.is_file():
                near = difflib.get_close_matches(script, _names(self.scripts), 1)
                hint = f"; did you mean '{near[0]}'?" if near else ""
                raise InputError(f"There is no script '{script}' in {self.scripts}{hint}")
            self._files[script] = self._read(path, module="")
        return self._files[script]

    def _module(self, module: str) -> _File:
        if module not in self._files:
            path = self._path(module)
            if path is None:
                raise InputError(
                    f"There is no module '{module}' under {self.source}: correct the name, or add "
                    "the file."
                )
            self._files[module] = self._read(path, module)
        return self._files[module]

    def _path(self, module: str) -> Path | None:
        """File of a module: of the package, or next to the scripts, which may import each other."""
        inside = module.partition(".")[0] == self.package
        base = (self.source if inside else self.scripts).joinpath(*module.split("."))
        for candidate in (base / "__init__.py", base.with_name(f"{base.name}.py")):
            if candidate.is_file():
                return candidate
        return None

    def _parent(self, module: str) -> set[str]:
        """Package around a module, whose `__init__.py` runs first; none without that file."""
        parent = module.rpartition(".")[0]
        return {parent} if parent and self._path(parent) is not None else set()

    def _read(self, path: Path, module: str) -> _File:
        try:
            text = path.read_text(encoding="utf-8-sig")
            tree = ast.parse(text)
            imports = frozenset(self._imports(tree, path, module))
            digest = _sha256(_significant(tree))
        except SyntaxError as error:
            raise InputError(
                f"{path} line {error.lineno} is not valid Python: {error.msg}."
            ) from error
        except ValueError as error:  # not UTF-8, or a null byte
            raise InputError(f"{path} is not a Python text file: {error}.") from error
        return _File(digest, imports)

    def _imports(self, tree: ast.Module, path: Path, module: str) -> Iterator[str]:
        """Modules that a file imports anywhere in it, functions included."""
        parts = module.split(".") if module else []
        package = parts if path.name == "__init__.py" else parts[:-1]
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                origins, members = [alias.name for alias in node.names], []
            elif isinstance(node, ast.ImportFrom):
                if node.level > len(package):
                    raise InputError(
                        f"{path} line {node.lineno} imports from above its package, or from a "
                        "script: name the module in full."
                    )
                base = package[: len(package) - node.level + 1] if node.level else []
                origin = ".".join([*base, *([node.module] if node.module else [])])
                origins = [origin] if origin else []
                # A name imported from a package is a module or an attribute: only the files tell.
                members = [f"{origin}.{alias.name}" for alias in node.names]
            else:
                continue
            for origin in origins:
                inside = origin.partition(".")[0] == self.package
                if inside and self._path(origin) is None and not self._folder(origin):
                    raise InputError(
                        f"{path} line {node.lineno} imports '{origin}', which is not under "
                        f"{self.source}."
                    )
            yield from (name for name in (*origins, *members) if self._path(name) is not None)

    def _folder(self, module: str) -> bool:
        """Whether a module is a folder without `__init__.py`, which holds no code of its own."""
        return self.source.joinpath(*module.split(".")).is_dir()


def _is_registry(module: str) -> bool:
    return module.rpartition(".")[2] == _REGISTRY


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*.py"))


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
