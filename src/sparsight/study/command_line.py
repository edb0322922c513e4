"""What a workflow engine's command line names: rules, files, resources, profiles and folders.

Snakemake ignores many misspelt names in silence. Each check here raises one `InputError` that
names the option and the nearest name; nothing here knows how the options were parsed.
"""

import difflib
import tempfile
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path

from sparsight.io.errors import InputError, as_yaml, join_names, near_miss
from sparsight.study.yaml_files import LONGEST_PATH, load_yaml, nearest_file

#: resources that an engine or its executors know without any rule that asks for them
STANDARD_RESOURCES = frozenset(
    {"mem", "mem_mb", "mem_mib", "disk", "disk_mb", "disk_mib", "runtime", "tmpdir", "nodes"}
)
#: two names of resources that are as alike as this are the same name with a slip
_ALIKE = 0.75


def check_rules(
    named: Mapping[str, Iterable[str]],
    rules: Collection[str],
    is_file: Callable[[str], bool] | None = None,
    files: Collection[str] = (),
) -> None:
    """Refuse names that are no rule, with the nearest rule or file.

    `named` maps an option to the names that it gives ("--forcerun": ["prune_levels"]). For options
    that take files too, `is_file` says whether a name is a file that is there or can be made, and
    `files` are those without wildcards, to suggest one.
    """
    for option, names in named.items():
        for name in sorted(names):
            if name in rules or (is_file is not None and is_file(name)):
                continue
            what = "rule" if is_file is None else "rule, nor a file that a rule makes"
            hint = near_miss(name, [*rules, *files], LONGEST_PATH)
            remedy = hint or f" (rules: {join_names(sorted(rules))})."
            raise InputError(f"{option}: '{name}' is no {what}{remedy}")


def check_resources(named: Mapping[str, Iterable[str]], known: Collection[str], far: bool) -> None:
    """Refuse resources that nothing asks for.

    `named` maps an option to the names that it gives ("--resources": ["gpus"]), `known` are those
    of rules and of other options. Where an executor may know further ones (`far`), only names that
    are nearly a known one are refused.
    """
    everything = sorted({*known, *STANDARD_RESOURCES})
    for option, names in named.items():
        for name in sorted(names):
            near = difflib.get_close_matches(name, everything, 1, _ALIKE)
            if name in everything or (far and not near):
                continue
            remedy = (
                f"; did you mean '{near[0]}'?" if near else f" (known: {join_names(everything)})."
            )
            raise InputError(f"{option}: no rule asks for the resource {as_yaml(name)}{remedy}")


def check_configuration_file(option: str, path: Path) -> None:
    """Refuse a file that cannot be read, or is no mapping without repeated keys."""
    is_other = path.suffix not in (".yaml", ".yml", ".json") and not path.exists()
    if is_other and not nearest_file(path):
        raise InputError(
            f"{option}: there is no file {path}; the option takes all words that follow it, so "
            "put targets before all options, or after --."
        )
    load_yaml(path)


def check_profile(option: str, name: str | None, folders: Iterable[Path]) -> None:
    """Refuse a profile that is not there, without which a run would go by no profile at all.

    `name` is a folder, a file or the name of a folder below one of `folders`; "none" stands for no
    profile, None for no option.
    """
    places = [*folders]
    if name in (None, "none") or any((folder / str(name)).exists() for folder in places):
        return
    found = sorted(
        {entry.parent.name for folder in places for entry in folder.glob("*/profile*.yaml")}
    )
    known = join_names(found) if found else "none"
    remedy = near_miss(Path(str(name)).name, found) or f" (profiles: {known})."
    raise InputError(f"{option}: there is no profile {as_yaml(name)}{remedy}")


def check_profile_file(path: Path, options: Collection[str]) -> None:
    """Refuse a profile with a key twice, or with a mapping under a key that is no option.

    `options` are the names of all options, without dashes.
    """
    content = load_yaml(path)
    if "__use_yte__" in content:  # a template: its keys are no options yet
        return
    for key, value in content.items():
        if isinstance(value, dict) and key not in options:
            raise InputError(f"{path}: {as_yaml(key)} is no option{near_miss(key, options) or '.'}")


def check_writable(folder: Path, remedy: str) -> None:
    """Refuse a folder in which nothing can be written; `remedy` says what moves it.

    It is made where it is not there.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise InputError(f"{folder} cannot be written ({error.strerror}); {remedy}.") from error


def check_folder_name(folder: Path) -> None:
    """Refuse a folder with braces in its path, which stand for wildcards in a workflow."""
    if {"{", "}"} & {*str(folder)}:
        raise InputError(
            f"{folder} has braces in its path, which stand for wildcards in a workflow; rename "
            "the folder, or work in another one."
        )
