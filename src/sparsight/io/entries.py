"""Entries of a file that stand and fall alone: the maps of one explainer, the scores of one metric.

One job makes a file of many entries, since starting a job costs seconds. The file says what each
entry was made from, and what all share. A job computes what is not in the file or was made from
something else, and keeps all other entries, also those that the study does not name at present. The
workflow compares the same facts while it plans. Nothing here imports torch.
"""

import functools
import hashlib
import json
import os
import struct
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from sparsight.io.errors import InputError
from sparsight.io.provenance import content_hash

#: the key of a file's metadata that holds its entries
ENTRIES = "entries"
#: between the names of an entry that belongs to two items, such as explainer and metric
BETWEEN = "/"
#: the key in a footer of parquet, in Thrift's compact protocol
_TABLE_KEY = b"\x18" + bytes([len(ENTRIES)]) + ENTRIES.encode() + b"\x18"
_LONGEST_HEADER = 64 * 1024 * 1024


class Key(NamedTuple):
    """What an entry was made from.

    The hash of its settings; class and version of what computes it, such as `Saliency 1`; the
    digest of the part of the input files that only this entry depends on, which may be empty.
    """

    settings: str
    version: str
    inputs: str = ""


@dataclass(frozen=True)
class Wanted:
    """The entries that a job shall have in its file.

    Snakemake compares the params of a job as text, and leaves out those that are objects like this
    one: the entries of a study may change without repeating what is in the file already.

    Attributes
    ----------
    settings, version : what all entries share; both are JSON.
    keys : name of each entry to its key, without its inputs.
    items : settings that name the entries, such as `explainers`; the job adds them to its own.
    anew : compute all of them, whatever the file holds.
    """

    settings: Mapping[str, Any]
    version: Mapping[str, Any]
    keys: Mapping[str, Key]
    items: Mapping[str, Any] = field(default_factory=dict)
    anew: bool = False


@dataclass(frozen=True)
class Stored:
    """What a file says of its entries.

    `settings` and `version` that all share, the digest of each input file that all depend on, and
    the key of each entry.
    """

    settings: Mapping[str, Any]
    version: Mapping[str, Any]
    inputs: Mapping[str, str]
    keys: Mapping[str, Key]

    @classmethod
    def of(cls, metadata: Mapping[str, str]) -> "Stored | None":
        """From a file's metadata; None where they say nothing of entries."""
        try:
            found = json.loads(metadata[ENTRIES])
            keys = {name: Key(*key) for name, key in found["keys"].items()}
            return cls(found["settings"], found["version"], found["inputs"], keys)
        except (LookupError, TypeError, ValueError):
            return None

    def metadata(self) -> dict[str, str]:
        """What `of` reads."""
        parts = ("settings", "version", "inputs", "keys")
        return {ENTRIES: json.dumps({name: getattr(self, name) for name in parts}, sort_keys=True)}


def with_items(settings: Mapping[str, Any], wanted: Wanted | None) -> dict[str, Any]:
    """The settings of a job with those of its entries."""
    return {**settings, **(wanted.items if wanted is not None else {})}


def present(**paths: Path | str | None) -> dict[str, Path | str]:
    """Name to path of the input files that a job has; Snakemake gives an empty list for none."""
    return {name: path for name, path in paths.items() if path}


class Update:
    """What of a file stays, and what a job has yet to compute.

    Parameters
    ----------
    stored : what the file says; None where there is no file, or it says nothing.
    wanted : what the job shall have.
    inputs : digests of the input files that all entries depend on, by name.
    own : an entry's name to the digest of the inputs that only it depends on; LookupError where
        these do not exist.

    Attributes
    ----------
    stale : reason (`settings`, `version`, `new` or `inputs`) to what is out of date for it: names
        of wanted entries, or of settings, versions and input files that all of them share.
    missing : names of the wanted entries that are to be computed, in their order.
    kept : names of the other entries of the file that are valid.
    """

    def __init__(
        self,
        stored: Stored | None,
        wanted: Wanted,
        inputs: Mapping[str, str],
        own: Callable[[str], str] = lambda name: "",
    ) -> None:
        self._wanted, self._inputs, self._own = wanted, dict(inputs), own
        self.stale: dict[str, list[str]] = {}
        valid: dict[str, Key] = {}
        if stored is None:
            self.stale["new"] = list(wanted.keys)
        else:
            for kind, old, now in (
                ("version", stored.version, wanted.version),
                ("settings", stored.settings, wanted.settings),
                ("inputs", stored.inputs, self._inputs),
            ):
                new = json.loads(json.dumps(now))  # by way of JSON, as the old one went
                names = {name for name in old.keys() | new.keys() if old.get(name) != new.get(name)}
                if names:
                    self.stale[kind] = sorted(names)
        if stored is not None and not self.stale:
            valid = {name: key for name, key in stored.keys.items() if self._has_inputs(name, key)}
            for name, key in wanted.keys.items():
                if why := _why(key, stored.keys.get(name), name in valid):
                    self.stale.setdefault(why, []).append(name)
        if valid and not wanted.anew:
            out_of_date = {name for names in self.stale.values() for name in names}
            self.missing = [name for name in wanted.keys if name in out_of_date]
        else:
            self.missing, valid = list(wanted.keys), {}
        self._kept = {name: key for name, key in valid.items() if name not in self.missing}
        self.kept = list(self._kept)

    def _has_inputs(self, name: str, key: Key) -> bool:
        """Whether an entry, wanted or not, was made from the inputs as they are."""
        try:
            return key.inputs == self._own(name)
        except LookupError:
            return False

    @functools.cached_property
    def result(self) -> Stored:
        """What the file will say of its entries; InputError where inputs of one are missing."""
        try:
            made = {n: self._wanted.keys[n]._replace(inputs=self._own(n)) for n in self.missing}
        except LookupError as error:
            raise InputError(
                f"the input files hold no {error.args[0]}; delete them and run snakemake again"
            ) from error
        wanted = self._wanted
        return Stored(wanted.settings, wanted.version, self._inputs, {**self._kept, **made})

    def __str__(self) -> str:
        """For the log: how many entries are kept, and which are computed."""
        names = ", ".join(sum_up(self.missing, self._wanted.keys)) or "none"
        return f"entries kept: {len(self.kept)}; computed: {len(self.missing)} ({names})"


def _why(wanted: Key, stored: Key | None, has_inputs: bool) -> str:
    """Why an entry is out of date; empty where it is not."""
    if stored is None:
        return "new"
    for kind in ("settings", "version"):
        if getattr(stored, kind) != getattr(wanted, kind):
            return kind
    return "" if has_inputs else "inputs"


def sum_up(names: Iterable[str], wanted: Iterable[str]) -> list[str]:
    """Names of entries, those of two items as one item where all that are wanted of it are named.

    Of `a/x, b/x, a/y` remain `x, a/y` where `b/y` is wanted too.
    """
    left, found = list(names), []
    for place in (-1, 0):
        members: dict[str, set[str]] = {}
        for name in wanted:
            if BETWEEN in name:
                members.setdefault(name.split(BETWEEN)[place], set()).add(name)
        for item, whole in members.items():
            if whole <= set(left):
                found.append(item)
                left = [name for name in left if name not in whole]
    return [*found, *left]


def header_metadata(path: Path | str) -> dict[str, str] | None:
    """The metadata of a safetensors file, unverified; None where there is no such file.

    `sparsight.io.arrays` verifies them, and imports torch.
    """
    try:
        with open(path, "rb") as file:
            (size,) = struct.unpack("<Q", file.read(8))
            header = json.loads(file.read(min(size, _LONGEST_HEADER)))
            found: dict[str, str] = header["__metadata__"]
            return found
    # Whatever is wrong with it, the first job that opens it says so.
    except (OSError, ValueError, LookupError, TypeError, struct.error):
        return None


def table_metadata(path: Path | str) -> dict[str, str] | None:
    """The metadata of a parquet file; None where there is no such file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        found = pq.read_metadata(path).metadata or {}
        return {name.decode(): text.decode() for name, text in found.items()}
    except (pa.ArrowException, OSError, UnicodeDecodeError):
        return None


def table_entries(path: Path | str) -> dict[str, str]:
    """Of the metadata of a parquet file, what `Stored.of` reads; empty where there is none.

    For plans of thousands of files: pyarrow would read all row groups and columns of the footer,
    which takes ten times as long. There the key stands before its value, each after its length.
    """
    try:
        with open(path, "rb") as file:
            file.seek(-8, os.SEEK_END)
            size, end = struct.unpack("<I4s", file.read(8))
            file.seek(-8 - size, os.SEEK_END)
            footer = file.read(size)
        place = footer.find(_TABLE_KEY) + len(_TABLE_KEY)
        if end != b"PAR1" or place < len(_TABLE_KEY):
            return {}
        length = shift = 0
        while True:
            length |= (footer[place] & 127) << shift
            place, shift = place + 1, shift + 7
            if footer[place - 1] < 128:
                return {ENTRIES: footer[place : place + length].decode()}
    except (OSError, LookupError, UnicodeDecodeError, struct.error):
        return {}


def digest(path: Path | str) -> str:
    """Digest of a file's content; of a safetensors file, that of its header with all checksums.

    InputError where there is no such file, or a safetensors file has no checksums.
    """
    if Path(path).suffix == ".safetensors":
        sums = checksums(header_metadata(path) or {})
        if "" not in sums:
            raise InputError(f"{path} does not exist or holds no checksums; run snakemake again")
        return sums[""]
    try:
        return hashlib.blake2b(Path(path).read_bytes(), digest_size=16).hexdigest()
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error}); run snakemake again") from error


def checksums(metadata: Mapping[str, str]) -> dict[str, str]:
    """Checksum of each tensor of a safetensors file, and of its header under the name ""."""
    try:
        found: dict[str, str] = json.loads(metadata["checksums"])
        return found
    except (LookupError, TypeError, ValueError):
        return {}


def map_digests(path: Path | str) -> dict[str, str]:
    """Explainer to a digest of its maps, of what they explain and of their key.

    Of a file of explanations (`sparsight.explain.run.explain_family`); empty where it says nothing
    of its entries.
    """
    metadata = header_metadata(path) or {}
    stored, sums = Stored.of(metadata), checksums(metadata)
    if stored is None:
        return {}
    shared = {name: sums[name] for name in sums if name == "image_ids" or name[:8] == "targets/"}
    own: dict[str, dict[str, str]] = {name: {} for name in stored.keys}
    for name in sums:
        explainer = name.partition("/")[0]
        if explainer in own:
            own[explainer][name] = sums[name]
    return {n: content_hash([own[n], shared, list(key)]) for n, key in stored.keys.items()}


def maps_digest(
    paths: Iterable[Path | str],
    read: Callable[[Path | str], Mapping[str, str]] = map_digests,
) -> Callable[[str], str]:
    """A function from an entry `explainer/metric` to the digest of its maps in all these files.

    LookupError where one of them has no such maps; `read` gives those of one file.
    """
    files = [read(path) for path in paths]

    @functools.cache
    def of(explainer: str) -> str:
        return content_hash([file[explainer] for file in files])

    return lambda name: of(name.partition(BETWEEN)[0])
