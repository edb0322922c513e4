"""Hash a tree of results again, and list what does not match.

`python -m sparsight.io.verify results/STUDY` holds every file against what is known of it: the
checksums inside safetensors and parquet files, and the hashes in each `provenance.json`. Files are
read as streams. It leaves with status 1 where something does not match.
"""

import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sparsight.io.arrays import ArrayReader, read_metadata
from sparsight.io.errors import InputError
from sparsight.io.files import RESULTS, is_temporary, read_json
from sparsight.io.provenance import content_hash, sha256_of
from sparsight.io.tables import verify_table

PROVENANCE = "provenance.json"
#: folder of a study's tables, where its provenance lies and from whose parent it names files
SUMMARY = "summary"
#: Snakemake's own files about jobs; nothing is computed from the first
UNHASHED = ("logs", "benchmarks")


@dataclass
class Findings:
    """What was found in a tree; paths are relative to it.

    mismatches : path to what is the matter with it.
    verified : paths of the files that match a checksum or a hash.
    uncovered : paths of the files of which no checksum and no hash is known.
    notes : what could not be verified, and why.
    """

    mismatches: dict[str, str] = field(default_factory=dict)
    verified: set[str] = field(default_factory=set)
    uncovered: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        """The report: what is not covered, notes, what does not match, and counts at the end."""
        unhashed = [path for path in self.uncovered if path.split("/")[0] in UNHASHED]
        named = [path for path in self.uncovered if path.split("/")[0] not in UNHASHED]
        return [
            *(f"not covered: {path}" for path in named),
            *(f"note: {note}" for note in self.notes),
            *(f"does not match: {path}: {why}" for path, why in sorted(self.mismatches.items())),
            f"{len(self.verified)} files match, {len(self.mismatches)} do not, {len(named)} are "
            f"not covered ({len(unhashed)} logs and benchmarks apart)",
        ]


def verify_tree(folder: Path) -> Findings:
    """Hash all files below `folder` again.

    A study's own folder must hold all files that its `summary/provenance.json` lists. In a kept
    part of one, such as those in `results/reference`, `provenance.json` lies next to the tables,
    and files that were not kept are only counted.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder; name one such as results/STUDY")
    paths = [Path(place, name) for place, _, names in os.walk(folder) for name in names]
    if not paths:
        raise InputError(f"{folder} is empty; name a folder with results, such as results/STUDY")
    return _Verification(folder, sorted(paths)).findings


class _Verification:
    """One pass over a tree."""

    def __init__(self, folder: Path, paths: list[Path]) -> None:
        self.folder = folder
        self.findings = Findings()
        self._unhashing: list[str] = []
        self._packed: dict[str, str | None] = {}
        partial = [self._name(path) for path in paths if is_temporary(path.name)]
        if partial:
            self.findings.notes.append(
                f"{partial[0]}{_more(partial)} was left by a job that was killed, or is being "
                "written; delete it once no run goes on"
            )
        paths = [path for path in paths if not is_temporary(path.name)]
        for path in paths:
            self._own_checksum(path)
        # The study's own comes first: it tells whether the others can be trusted.
        listing = [path for path in paths if path.name == PROVENANCE]
        for path in sorted(listing, key=lambda path: (path.parent.name != SUMMARY, path)):
            self._provenance(path)
        if self._unhashing:
            self.findings.notes.append(
                f"{self._unhashing[0]}{_more(self._unhashing)} lists no hashes of files: it was "
                "written before they were recorded"
            )
        known = self.findings.verified | set(self.findings.mismatches)
        names = (self._name(path) for path in paths)
        self.findings.uncovered = [name for name in names if name not in known]

    def _name(self, path: Path) -> str:
        return path.relative_to(self.folder).as_posix()

    def _mismatch(self, path: Path, why: str) -> None:
        name = self._name(path)
        self.findings.mismatches.setdefault(name, why)
        self.findings.verified.discard(name)

    def _match(self, path: Path) -> None:
        if (name := self._name(path)) not in self.findings.mismatches:
            self.findings.verified.add(name)

    def _own_checksum(self, path: Path) -> None:
        try:
            if path.suffix == ".safetensors":
                ArrayReader(path).close()
            elif path.suffix == ".parquet":
                verify_table(path)
            else:
                return
        except InputError as error:
            self._mismatch(path, _reason(error, path))
        else:
            self._match(path)

    def _provenance(self, path: Path) -> None:
        try:
            content = read_json(path)
        except InputError as error:
            self._mismatch(path, _reason(error, path))
            return
        if content_hash(content.get("settings")) != content.get("configuration_hash"):
            self._mismatch(path, "its settings do not have its configuration_hash")
        if self._name(path) in self.findings.mismatches:
            return
        self._match(path)
        files = content.get("files")
        if not isinstance(files, dict):
            self._unhashing.append(self._name(path))
            files = {}
        complete = path.parent.name == SUMMARY
        base = path.parent.parent if complete else path.parent
        kept_part = not complete and "checkpoints" in content
        absent = 0
        for name, digest in sorted(files.items()):
            listed = self._listed(base, name, kept_part)
            if listed.is_file():
                self._hash(listed, digest, path)
            elif kept_part:
                absent += 1
            else:
                self._mismatch(listed, f"it is missing, {self._name(path)} lists it")
        if absent:
            self.findings.notes.append(f"{absent} files that {self._name(path)} lists are not here")
        self._data(path, content)

    def _listed(self, base: Path, name: str, kept_part: bool) -> Path:
        """The file that a provenance lists; names that lead out of the tree stay in it."""
        parts = [part for part in Path(name).parts if part not in ("..", "/")]
        # tables that were kept lie next to their provenance
        if kept_part and parts[:1] == [SUMMARY]:
            parts = parts[1:]
        return base.joinpath(*parts)

    def _hash(self, path: Path, digest: Any, lister: Path) -> None:
        if sha256_of(path) == digest:
            self._match(path)
        else:
            self._mismatch(path, f"its SHA-256 is not the one in {self._name(lister)}")

    def _data(self, path: Path, content: dict[str, Any]) -> None:
        """A checkpoint was trained on the packed data, and its explanations are of the same."""
        if not (expected := content.get("data_hash")):
            return
        where = f"is not the one in {self._name(path)}"
        dataset = self._name(path).split("/")[0]
        if dataset not in self._packed:
            self._packed[dataset] = self._packed_hash(dataset)
        if self._packed[dataset] not in (None, expected):
            self._mismatch(path, "its data_hash is not that of the packed data that lie there now")
        for maps in sorted(path.parent.glob("explanations/*.safetensors")):
            if self._name(maps) in self.findings.mismatches:
                continue
            if read_metadata(maps).get("data_hash", expected) != expected:
                self._mismatch(maps, f"its data_hash {where}")

    def _packed_hash(self, dataset: str) -> str | None:
        """The hash of a data set's packed form; None where it cannot be looked at."""
        folder = self.folder.resolve()
        if folder.parent.name != RESULTS:
            return None
        place = "data"
        try:
            settings = read_json(folder / SUMMARY / PROVENANCE).get("settings")
            place = settings["data_folder"] if isinstance(settings, dict) else place
        except (InputError, KeyError):
            pass
        packed = folder.parent.parent / place / "packed" / dataset / "test.safetensors"
        try:
            return read_metadata(packed).get("data_hash")
        except InputError as error:
            self.findings.notes.append(f"data hashes of {dataset} were not compared: {error}")
            return None


def _reason(error: InputError, path: Path) -> str:
    """What is the matter, without the path before it and the remedy after it."""
    text = str(error).removeprefix(str(path)).strip()
    return text.rpartition("; ")[0] or text


def _more(names: Iterable[str]) -> str:
    count = len(list(names)) - 1
    return f" (and {count} more)" if count else ""


def remaking(folder: Path, findings: Findings) -> str | None:
    """How to remake what does not match; None where everything does."""
    whole = folder.resolve()
    if not findings.mismatches:
        return None
    if whole.parent.name != RESULTS:
        return "fetch or copy what does not match again"
    names = " ".join(f"{RESULTS}/{whole.name}/{name}" for name in sorted(findings.mismatches))
    return f"remake them, with the options of your run: snakemake --cores 1 --forcerun {names}"


def main(arguments: list[str]) -> int:
    """Entry point: writes the report; 0 where everything matches, else 1."""
    if len(arguments) != 1 or arguments[0].startswith("-"):
        sys.exit("usage: python -m sparsight.io.verify FOLDER    (such as results/STUDY)")
    folder = Path(arguments[0])
    try:
        findings = verify_tree(folder)
    except InputError as error:
        sys.exit(str(error))
    lines = findings.lines()
    if (advice := remaking(folder, findings)) is not None:
        lines.insert(-1, advice)
    sys.stdout.write("\n".join(lines) + "\n")
    return 1 if findings.mismatches else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
