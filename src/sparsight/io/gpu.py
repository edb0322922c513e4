"""The device of a job, and its share of a GPU, which it takes before it imports torch.

Snakemake counts GPUs and hands out none. So a job claims memory of one for as long as it runs: an
empty file in a folder of this user on this machine, named after the GPU and the MB, under a lock
(`flock`) that the kernel drops when the process is gone, however it went.

* Claims are added up and new ones made under one lock, that of the folder. A job only ever takes
  its own claim away, for which it needs no lock. So claims never exceed a GPU's memory.
* A claim without a lock is that of a dead job: whoever comes next removes it.
* A job for which there is no room waits, one at a time; the others wait behind it. So a large job
  is not overtaken by small ones for ever.

A process that the job forked (not one it started by `exec`, for which Python closes the file) holds
the lock until it, too, is gone, as it holds the GPU's memory.
"""

import fcntl
import hashlib
import logging
import os
import re
import stat
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from sparsight.io.errors import InputError

if TYPE_CHECKING:
    import torch

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


def choose_device(gpu: int) -> "torch.device":
    """`cuda` when the job was granted a GPU (`gpu` > 0) and one is there, else `cpu`.

    The default profile clamps the resource `gpu` to 0, so that every rule runs on the CPU.
    """
    import torch

    return torch.device("cuda" if gpu > 0 and torch.cuda.is_available() else "cpu")


def set_determinism(threads: int) -> None:
    """Fix the number of torch threads and choose deterministic kernels, TF32 off.

    `threads` comes from the configuration and not from the scheduler: the order in which a sum is
    taken depends on it, and results must not depend on `--cores`.
    """
    import torch

    # cuBLAS is deterministic only with a fixed workspace, read when its handle is made.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.set_num_threads(threads)
    # What use_deterministic_algorithms(True) does, without importing the compiler, which would cost
    # every job seconds.
    torch.set_deterministic_debug_mode("error")
    torch.backends.cudnn.benchmark = False
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False


def device_name(device: "torch.device") -> str:
    """What to write into a provenance: the GPU's model, or the CPU's architecture."""
    if device.type == "cuda":
        import torch

        return torch.cuda.get_device_name(device)
    return f"cpu ({os.uname().machine})"


@dataclass(frozen=True)
class Gpu:
    """A GPU, or a part of one (MIG).

    `name` is what `CUDA_VISIBLE_DEVICES` can hold ("GPU-…", "MIG-…", or a name from
    `SPARSIGHT_GPUS`), `index` nvidia-smi's number of the card (of a name that is a number, this),
    `card` the name of the card that a part belongs to, a whole card's own name.
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

    Numbers are taken as nvidia-smi counts. A card that is divided stands for all its parts. None
    where nobody says which GPUs there are: no nvidia-smi, or no driver, and no `SPARSIGHT_GPUS`. A
    variable that names a GPU that is not there, or does not read as it should, is an `InputError`.
    """
    names = visible_names(environ)
    if names == []:
        return []
    gpus = _gpus_from(environ[LISTED]) if environ.get(LISTED) else _gpus_of_driver(environ)
    if names is None or gpus is None:
        return gpus
    return list(dict.fromkeys(gpu for name in names for gpu in _gpus_named(name, gpus)))


def _gpus_named(name: str, gpus: list[Gpu]) -> list[Gpu]:
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


def _gpus_from(text: str) -> list[Gpu]:
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


def _gpus_of_driver(environ: Mapping[str, str]) -> list[Gpu] | None:
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


#: where the locks lie instead of in the folder for temporary files
FOLDER = "SPARSIGHT_GPU_LOCKS"
_CLAIM = re.compile(r"(?P<gpu>[^@]+)@(?P<megabytes>\d+)@.*\.claim")
_SECONDS_BETWEEN_LOOKS = 0.5


@contextmanager
def gpu_slot(
    gpu: int, vram_mb: int, environ: MutableMapping[str, str] = os.environ
) -> Iterator[None]:
    """Hold `vram_mb` of the GPU with most room, and let CUDA see that one only.

    Nothing is taken where no GPU was granted (`gpu` is 0), none is visible, nobody says which there
    are, or SLURM has given this job its own. `CUDA_VISIBLE_DEVICES` is set while the block runs. An
    `InputError` where no visible GPU has so much memory, or there is no safe place for the locks.
    """
    gpus = _to_share(gpu, environ)
    if not gpus:
        yield
        return
    largest = max(gpu.megabytes for gpu in gpus)
    if vram_mb > largest:
        raise InputError(
            f"The job asks for {vram_mb} MB of a GPU (vram_mb), but none that is visible has more "
            f"than {largest} MB: lower it with --set-resources RULE:vram_mb={largest}, or run the "
            "rule without a GPU (--set-resources RULE:gpu=0)."
        )
    name, claim, handle = _wait_for_room(gpus, vram_mb, lock_folder(environ))
    before, process = environ.get(VISIBLE), os.getpid()
    environ[VISIBLE] = name
    try:
        yield
    finally:
        # A forked process may leave the same block; the claim stays.
        if process == os.getpid():
            claim.unlink(missing_ok=True)
            os.close(handle)
        if before is None:
            del environ[VISIBLE]
        else:
            environ[VISIBLE] = before


def lock_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """The folder of the locks, made if it is not there: this user's alone, on this machine.

    `SPARSIGHT_GPU_LOCKS` names another; it must not be on a network file system. (Not in
    `XDG_RUNTIME_DIR`: that goes when its user logs out, and a long run stays.)
    """
    folder = Path(
        environ.get(FOLDER) or Path(tempfile.gettempdir(), f"sparsight-gpu-{os.getuid()}")
    )
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.lstat()
    except OSError as error:
        raise InputError(
            f"{folder}, the folder of the GPU locks, cannot be made ({error.strerror}); name "
            f"another in {FOLDER}."
        ) from error
    # In a folder for everybody, another user may have put a folder, or a link, of this name.
    private = found.st_uid == os.getuid() and not stat.S_IMODE(found.st_mode) & 0o077
    if not stat.S_ISDIR(found.st_mode) or not private:
        raise InputError(
            f"{folder}, the folder of the GPU locks, is not this user's alone; make it so (chmod "
            f"700), or name another in {FOLDER}."
        )
    return folder


def _to_share(gpu: int, environ: Mapping[str, str]) -> list[Gpu]:
    """The GPUs of which the job has to take one; none where there is nothing to choose."""
    if gpu < 1:
        return []
    names = visible_names(environ)
    # SLURM gave this job the GPUs it sees; an allocation in which many jobs run sees more.
    if "SLURM_JOB_ID" in environ and names and len(names) <= gpu:
        logger.info("SLURM has given this job %s %s.", VISIBLE, ",".join(names))
        return []
    gpus = visible_gpus(environ)
    if gpus is None:
        logger.info("There is no nvidia-smi to ask for GPUs: this job takes what it finds.")
    elif not gpus:
        logger.info("No GPU is visible: this job runs on the CPU.")
    return gpus or []


def _wait_for_room(gpus: list[Gpu], megabytes: int, folder: Path) -> tuple[str, Path, int]:
    """Claim memory of the GPU with most room, as soon as there is enough on one.

    Returns its name, and the file of the claim with the handle that locks it.
    """
    names = ",".join(sorted(gpu.name for gpu in gpus))
    # Jobs that see other GPUs stand in another line.
    line = folder / f"{hashlib.sha256(names.encode()).hexdigest()[:16]}.line"
    line.touch(mode=0o600)
    waiting = False
    with _locked(line, "Other jobs are waiting for room on a GPU; this one waits behind them."):
        while True:
            with _locked(folder):
                claimed = _claimed_megabytes(folder)
                best = max(gpus, key=lambda gpu: gpu.megabytes - claimed[gpu.name])
                free = best.megabytes - claimed[best.name]
                if megabytes <= free:
                    logger.info(
                        "Took %d MB of GPU %s (%s); %d of %d MB stay free.",
                        *(megabytes, best.index, best.name, free - megabytes, best.megabytes),
                    )
                    prefix = f"{quote(best.name, safe='')}@{megabytes}@{os.getpid()}-"
                    handle, path = tempfile.mkstemp(prefix=prefix, suffix=".claim", dir=folder)
                    fcntl.flock(handle, fcntl.LOCK_EX)
                    return best.name, Path(path), handle
            if not waiting:
                logger.info("No GPU has %d MB free (at most %d): waiting.", megabytes, free)
                waiting = True
            time.sleep(_SECONDS_BETWEEN_LOOKS)


@contextmanager
def _locked(path: Path, waiting: str = "") -> Iterator[None]:
    """Hold the lock of a file or folder; say so if it has to be waited for."""
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if waiting:
                logger.info(waiting)
            fcntl.flock(handle, fcntl.LOCK_EX)
        except OSError as error:
            raise InputError(
                f"{path.parent} is on a file system that cannot lock ({error.strerror}); name a "
                f"folder on a local disk in {FOLDER}."
            ) from error
        yield
    finally:
        os.close(handle)


def _claimed_megabytes(folder: Path) -> Counter[str]:
    """MB that live jobs hold, by the GPU's name; the folder's lock is held.

    Claims that nobody holds any more are removed.
    """
    megabytes: Counter[str] = Counter()
    for path in folder.iterdir():
        found = _CLAIM.fullmatch(path.name)
        if found is None:
            continue
        try:
            handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
        except FileNotFoundError:
            continue  # given back just now
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink(missing_ok=True)
        except BlockingIOError:
            megabytes[unquote(found["gpu"])] += int(found["megabytes"])
        finally:
            os.close(handle)
    return megabytes
