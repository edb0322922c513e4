"""Where a result comes from: commit, configuration, data, versions, device, seed, time."""

import hashlib
import importlib.metadata
import json
import platform
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

PACKAGES = (
    "torch",
    "torchvision",
    "timm",
    "captum",
    "grad-cam",
    "quantus",
    "numpy",
    "scipy",
    "snakemake",
)


def content_hash(content: Any) -> str:
    """First 16 hex digits of the SHA-256 of `content` as canonical JSON."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def sha256_of(path: Path | str) -> str:
    """SHA-256 of a file as 64 hex digits; read block by block."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def git_state(folder: Path) -> dict[str, Any]:
    """Commit of the checkout that holds `folder`, and whether it has uncommitted changes.

    Both are None where there is no checkout or no git (an installed package, a container).
    """

    commit = _git(folder, "rev-parse", "HEAD")
    changes = _git(folder, "status", "--porcelain", "--untracked-files=no")
    return {"commit": commit, "dirty": None if changes is None else bool(changes)}


def last_change(path: Path, commit: str) -> str | None:
    """The commit that last changed a file, as seen from `commit`; None where git knows of none."""
    path = Path(path).resolve()
    return _git(path.parent, "log", "-1", "--format=%H", commit, "--", path.name) or None


def _git(folder: Path, *arguments: str) -> str | None:
    """What git prints in a folder; None where it fails, or there is no git."""
    command = ["git", "-C", str(folder), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def package_versions() -> dict[str, str]:
    """Versions of Python, of this package and of the libraries that make numbers."""
    versions = {"python": platform.python_version()}
    for package in ("sparsight", *PACKAGES):
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def provenance(
    settings: Mapping[str, Any],
    version: Mapping[str, Any],
    seconds: float,
    device: str,
    seed: int | None = None,
    data_hash: str | None = None,
    files: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """The content of a `provenance.json`.

    `version` has those of the stages and items that the job ran (`sparsight.study.versions`),
    `files` the SHA-256 of what it wrote, by path, which `sparsight.io.verify` compares.
    """
    return {
        **git_state(Path(__file__).parent),
        "configuration_hash": content_hash(settings),
        "settings": dict(settings),
        "code_version": dict(version),
        "data_hash": data_hash,
        "versions": package_versions(),
        "device": device,
        "seed": seed,
        "seconds": round(seconds, 3),
        "files": dict(files or {}),
    }
