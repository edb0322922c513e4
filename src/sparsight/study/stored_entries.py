"""Which files of entries (`sparsight.io.entries`) are out of date, as the workflow is planned."""

import functools
import os
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path

from sparsight.io.entries import (
    Key,
    Stored,
    Update,
    Wanted,
    digest,
    header_metadata,
    map_digests,
    maps_digest,
    sum_up,
    table_entries,
)
from sparsight.io.errors import InputError
from sparsight.io.provenance import content_hash
from sparsight.study.configuration import normalise
from sparsight.study.settings import Entries

#: the rules and files that the command line forces, for the jobs of a run; one a line
FORCED_VARIABLE = "SPARSIGHT_FORCED"
EVERYTHING = "*"


def wanted_entries(
    entries: Entries, settings: Mapping[str, object], version: Mapping[str, object]
) -> Wanted:
    """What a job shall have in its file, given what all entries share."""
    keys = {
        name: Key(
            content_hash(normalise(entries.settings[name])),
            ", ".join(f"{item.attribute} {item.version}" for item in items),
        )
        for name, items in entries.items.items()
    }
    return Wanted(settings, version, keys, normalise(entries.groups))


def mark_forced(wanted: Wanted, rule: str, output: str) -> Wanted:
    """The same, to be computed again where the command line forces the rule or the file."""
    names = os.environ.get(FORCED_VARIABLE, "").splitlines()
    return replace(wanted, anew=any(name in names for name in (EVERYTHING, rule, output)))


class StoredEntries:
    """What the files hold; each is looked at once in a planning, and only its header is read.

    Attributes
    ----------
    stale : file to what is out of date in it, see `Update.stale`; names of entries summed up.
    """

    def __init__(self) -> None:
        self.stale: dict[str, dict[str, list[str]]] = {}
        self._digest = functools.cache(digest)
        self._maps = functools.cache(map_digests)

    def is_stale(
        self, path: str, wanted: Wanted, inputs: Mapping[str, str], maps: Collection[str] = ()
    ) -> bool:
        """Whether a file is there and an entry that the study wants is not, or is out of date.

        Parameters
        ----------
        inputs : name to each input file that all entries depend on. A file that does not exist
            counts as unchanged: the results of a study outlive its data.
        maps : files of explanations that entries `explainer/metric` depend on.
        """
        if not Path(path).exists():
            return False
        read = header_metadata if path.endswith(".safetensors") else table_entries
        stored = Stored.of(read(path) or {})
        old = stored.inputs if stored is not None else {}
        digests = {}
        for name, file in inputs.items():
            try:
                digests[name] = self._digest(file)
            except InputError:
                if name in old:
                    digests[name] = old[name]
        keys = stored.keys if stored is not None else {}
        there = maps and all(Path(each).exists() for each in maps)
        own = maps_digest(maps, self._maps) if there else lambda name: keys[name].inputs
        found = Update(stored, wanted, digests, own).stale
        if found:
            self.stale[path] = {why: sum_up(names, wanted.keys) for why, names in found.items()}
        return bool(found)
