"""Which GPUs a job may use, and how much memory each has; found out without importing torch."""

import logging
import os
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import takewhile

from sparsight.io.errors import InputError

logger = logging.getLogger(__name__)

#: what CUDA reads, and what a cluster or the user restricts
VISIBLE = "CUDA_VISIBLE_DEVICES"
#: the GPUs of this machine and the MB of each that jobs may share, instead of what nvidia-smi says
LISTED = "SPARSIGHT_GPUS"

_QUERY = ("--query-gpu=index,uuid,memory.total,mig.mode.current", "--format=csv,noheader,nounits")
_CARD_LINE = re.compile(r"GPU (\d+): .*\(UUID: (GPU-[^)]+)\)")
_PART_LINE = re.compile(r"\s+MIG (?:\w+\.)+(\d+)gb\S*\s+Device\s+\d+: \(UUID: (MIG-[^)]+)\)")
# nvidia-smi tells the memory of a part only in its name, in GB and rounded up: a part of an H200
# that is called 1g.18gb has 16 GiB. So count an eighth less than 1024 MB for each.
_MEGABYTES_OF_A_PART = 896


@dataclass(frozen=True)
class Gpu:
    """A GPU, or a part of one (MIG).

    Attributes
    ----------
    name : what `CUDA_VISIBLE_DEVICES` can hold: "GPU-…", "MIG-…", or a name from `SPARSIGHT_GPUS`.
    megabytes : its memory.
    index : nvidia-smi's number of the card; of a `SPARSIGHT_GPUS` name that is a number, this.
    card : name of the card that a part belongs to; a whole card's own name.
    """

    name: str
    megabytes: int
    index: str
    card: str


def visible_names(environ: Mapping[str, str] = os.environ) -> list[str] | None:
    """The entries of `CUDA_VISIBLE_DEVICES`, up to one that ends the list ("", "-1").

    None where the variable is not set, so that all GPUs are visible; an empty list where it hides
    all of them ("", "-1", SLURM's "NoDevFiles").
    """
    if VISIBLE not in environ:
        return None
    entries = [entry.strip() for entry in environ[VISIBLE].split(",")]
    return list(takewhile(lambda entry: not re.fullmatch(r"|-\d+|NoDevFiles", entry), entries))


def visible_gpus(environ: Mapping[str, str] = os.environ) -> list[Gpu] | None:
    """The GPUs that a job started with these environment variables may use.

    Numbers are taken as nvidia-smi counts. A card that is divided stands for all its parts.

    Returns
    -------
    None where nobody says which GPUs there are: no nvidia-smi, or no driver, and no
    `SPARSIGHT_GPUS`. An empty list where all are hidden.

    Raises
    ------
    InputError : a variable names a GPU that is not there, or does not read as it should.
    """
    names = visible_names(environ)
    if names == []:
        return []
    gpus = _listed(environ[LISTED]) if environ.get(LISTED) else _found(environ)
    if names is None or gpus is None:
        return gpus
    return list(dict.fromkeys(gpu for name in names for gpu in _called(name, gpus)))


def _called(name: str, gpus: list[Gpu]) -> list[Gpu]:
    """The GPUs that an entry of `CUDA_VISIBLE_DEVICES` means; UUIDs may be cut short."""
    if name.isdigit():
        found = [gpu for gpu in gpus if gpu.index == name]
    else:
        found = [gpu for gpu in gpus if gpu.name.startswith(name)]
        found = found or [gpu for gpu in gpus if gpu.card.startswith(name)]
    if len({gpu.card for gpu in found}) == 1:
        return found
    raise InputError(
        f"{VISIBLE} names '{name}', which is {'several GPUs' if found else 'no GPU'} here "
        f"({', '.join(gpu.name for gpu in gpus) or 'there is none'}); correct it or unset it."
    )


def _listed(text: str) -> list[Gpu]:
    """GPUs from `SPARSIGHT_GPUS`, "name=MB,name=MB"."""
    gpus = []
    for entry in text.split(","):
        name, _, megabytes = (part.strip() for part in entry.rpartition("="))
        if not name or not megabytes.isdigit():
            raise InputError(
                f"{LISTED} holds '{entry}', where a name as in {VISIBLE} and its MB belong: write "
                f"for example {LISTED}=0=16000,1=24000."
            )
        gpus.append(Gpu(name, int(megabytes), name, name))
    return gpus


def _found(environ: Mapping[str, str]) -> list[Gpu] | None:
    """GPUs that nvidia-smi tells of."""
    table = _nvidia_smi(environ, *_QUERY)
    if table is None:
        return None
    rows = [[cell.strip() for cell in line.split(",")] for line in table.splitlines() if line]
    divided = any(mode == "Enabled" for *_, mode in rows)
    parts = _parts(_nvidia_smi(environ, "-L") or "") if divided else []
    gpus = []
    for index, uuid, megabytes, mode in rows:
        if mode == "Enabled":
            gpus += [gpu for gpu in parts if gpu.card == uuid]
        elif megabytes.isdigit():
            gpus.append(Gpu(uuid, int(megabytes), index, uuid))
        else:
            raise InputError(
                f"nvidia-smi does not say how much memory GPU {index} has; write it into {LISTED}, "
                f"for example {LISTED}={uuid}=16000."
            )
    return gpus


def _parts(text: str) -> list[Gpu]:
    """Parts of divided cards in what `nvidia-smi -L` prints: each is indented below its card."""
    gpus, index, card = [], "", ""
    for line in text.splitlines():
        if found := _CARD_LINE.match(line):
            index, card = found.groups()
        elif found := _PART_LINE.match(line):
            gigabytes, uuid = found.groups()
            gpus.append(Gpu(uuid, int(gigabytes) * _MEGABYTES_OF_A_PART, index, card))
    return gpus


def _nvidia_smi(environ: Mapping[str, str], *options: str) -> str | None:
    """What nvidia-smi prints; None where it is missing or fails."""
    try:
        done = subprocess.run(
            ["nvidia-smi", *options], capture_output=True, text=True, check=False, env=dict(environ)
        )
    except OSError:
        return None
    if done.returncode != 0:
        logger.warning("nvidia-smi failed: %s", (done.stdout + done.stderr).strip())
        return None
    return done.stdout
