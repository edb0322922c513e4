"""Hash a tree of results again, and list what does not match.

`python -m sparsight.io.verify results/STUDY` compares every file with the checksums inside
safetensors and parquet files and with the hashes in each `provenance.json`, and leaves with
status 1 where something does not match. Files are read as streams.
"""

import functools
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

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

    def add(self, name: str, why: str | None) -> None:
        """A file matches, or what is the matter with it; the first that is found stays."""
        if why is not None:
            self.mismatches.setdefault(name, why)
            self.verified.discard(name)
        elif name not in self.mismatches:
            self.verified.add(name)

    def note(self, names: Sequence[str], what: str) -> None:
        """A note about the first of some files, with the number of the others."""
        if names:
            more = f" (and {len(names) - 1} more)" if len(names) > 1 else ""
            self.notes.append(f"{names[0]}{more} {what}")

    def lines(self) -> list[str]:
        """The report: what is not covered, notes, what does not match, and counts at the end."""
        named = [path for path in self.uncovered if path.split("/")[0] not in UNHASHED]
        unhashed = len(self.uncovered) - len(named)
        return [
            *(f"not covered: {path}" for path in named),
            *(f"note: {note}" for note in self.notes),
            *(f"does not match: {path}: {why}" for path, why in sorted(self.mismatches.items())),
            f"{len(self.verified)} files match, {len(self.mismatches)} do not, {len(named)} are "
            f"not covered ({unhashed} logs and benchmarks apart)",
        ]


def verify_tree(folder: Path) -> Findings:
    """Hash all files below `folder` again.

    A study's own folder must hold all files that its `summary/provenance.json` lists. In a kept
    part of one, such as those in `results/reference`, `provenance.json` lies next to the tables,
    and files that were not kept are only counted.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder; name one such as results/STUDY")
    paths = sorted(Path(place, name) for place, _, names in os.walk(folder) for name in names)
    if not paths:
        raise InputError(f"{folder} is empty; name a folder with results, such as results/STUDY")
    return _Verification(folder, paths).findings


class _Verification:
    """One pass over a tree."""

    def __init__(self, folder: Path, paths: list[Path]) -> None:
        self.folder, self.findings = folder, Findings()
        self._packed_hash = functools.cache(self._read_packed_hash)
        self.findings.note(
            [self._name(path) for path in paths if is_temporary(path.name)],
            "was left by a job that was killed, or is being written; delete it once no run goes on",
        )
        paths = [path for path in paths if not is_temporary(path.name)]
        for path in paths:
            if path.suffix in (".safetensors", ".parquet"):
                self.findings.add(self._name(path), _own_checksum(path))
        # The study's own comes first: it tells whether the others can be trusted.
        listing = [path for path in paths if path.name == PROVENANCE]
        listing.sort(key=lambda path: (path.parent.name != SUMMARY, path))
        without = [self._name(path) for path in listing if self._provenance(path)]
        self.findings.note(
            without, "lists no hashes of files: it was written before they were recorded"
        )
        known = self.findings.verified | set(self.findings.mismatches)
        self.findings.uncovered = [n for n in map(self._name, paths) if n not in known]

    def _name(self, path: Path) -> str:
        return path.relative_to(self.folder).as_posix()

    def _provenance(self, path: Path) -> bool:
        """Compare what a provenance says; whether it is sound and lists no files."""
        name, content = self._name(path), {}
        try:
            content = read_json(path)
            sound = content_hash(content.get("settings")) == content.get("configuration_hash")
            why = None if sound else "its settings do not have its configuration_hash"
        except InputError as error:
            why = _reason(error, path)
        self.findings.add(name, why)
        if name in self.findings.mismatches:
            return False
        files = content.get("files")
        complete = path.parent.name == SUMMARY
        base = path.parent.parent if complete else path.parent
        kept_part = not complete and "checkpoints" in content
        absent = 0
        for listed, digest in sorted(files.items()) if isinstance(files, dict) else ():
            # names that lead out of the tree stay in it
            parts = [part for part in Path(listed).parts if part not in ("..", "/")]
            # tables that were kept lie next to their provenance
            file = base.joinpath(*parts[kept_part and parts[:1] == [SUMMARY] :])
            if file.is_file():
                right = sha256_of(file) == digest
                self.findings.add(
                    self._name(file), None if right else f"its SHA-256 is not the one in {name}"
                )
            elif kept_part:
                absent += 1
            else:
                self.findings.add(self._name(file), f"it is missing, {name} lists it")
        if absent:
            self.findings.notes.append(f"{absent} files that {name} lists are not here")
        if content.get("data_hash"):
            self._data(path, content["data_hash"])
        return not isinstance(files, dict)

    def _data(self, path: Path, expected: str) -> None:
        """A checkpoint was trained on the packed data, and its explanations are of the same."""
        name = self._name(path)
        if self._packed_hash(name.split("/")[0]) not in (None, expected):
            self.findings.add(
                name, "its data_hash is not that of the packed data that lie there now"
            )
        for maps in sorted(path.parent.glob("explanations/*.safetensors")):
            if self._name(maps) not in self.findings.mismatches:
                same = read_metadata(maps).get("data_hash", expected) == expected
                why = None if same else f"its data_hash is not the one in {name}"
                self.findings.add(self._name(maps), why)

    def _read_packed_hash(self, dataset: str) -> str | None:
        """The hash of a data set's packed form; None where it cannot be looked at."""
        folder = self.folder.resolve()
        if folder.parent.name != RESULTS:
            return None
        place = "data"
        with suppress(InputError, KeyError, TypeError):
            place = read_json(folder / SUMMARY / PROVENANCE)["settings"]["data_folder"]
        packed = folder.parent.parent / place / "packed" / dataset / "test.safetensors"
        try:
            return read_metadata(packed).get("data_hash")
        except InputError as error:
            self.findings.notes.append(f"data hashes of {dataset} were not compared: {error}")
            return None


def _own_checksum(path: Path) -> str | None:
    """What the checksums inside a file say is the matter with it."""
    try:
        if path.suffix == ".parquet":
            verify_table(path)
        else:
            ArrayReader(path).close()
    except InputError as error:
        return _reason(error, path)
    return None


def _reason(error: InputError, path: Path) -> str:
    """What is the matter, without the path before it and the remedy after it."""
    text = str(error).removeprefix(str(path)).strip()
    return text.rpartition("; ")[0] or text


def main(arguments: list[str]) -> int:
    """Entry point: writes the report; 0 where everything matches, else 1."""
    if len(arguments) != 1 or arguments[0].startswith("-"):
        sys.exit("usage: python -m sparsight.io.verify FOLDER    (such as results/STUDY)")
    folder = Path(arguments[0])
    try:
        findings = verify_tree(folder)
    except InputError as error:
        sys.exit(str(error))
    lines, whole = findings.lines(), folder.resolve()
    if findings.mismatches:
        advice = "fetch or copy what does not match again"
        if whole.parent.name == RESULTS:
            names = " ".join(f"{RESULTS}/{whole.name}/{n}" for n in sorted(findings.mismatches))
            advice = (
                f"remake them, with the options of your run: snakemake --cores 1 --forcerun {names}"
            )
        lines.insert(-1, advice)
    sys.stdout.write("\n".join(lines) + "\n")
    return 1 if findings.mismatches else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
