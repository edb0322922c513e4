"""Reading YAML strictly, from a file or the command line: a fault is one error message."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from sparsight.io.errors import InputError, as_yaml, in_words, near_miss, shorten

#: characters of a path that is suggested
LONGEST_PATH = 200


def load_yaml(path: Path) -> dict[str, Any]:
    """Mapping in a YAML file.

    Unlike `yaml.safe_load`, which keeps the last of two equal keys in silence, this refuses them.

    Raises
    ------
    InputError : the file is missing, is no YAML, has a key twice or is no mapping; the message
        names the file and, where there is one, the line.
    """
    text = _text_of(Path(path))
    try:
        content = _load(text, str(path))
    except RecursionError as error:
        raise InputError(f"{path} is nested too deeply; write it flatter.") from error
    except yaml.MarkedYAMLError as error:
        raise InputError(_syntax_problem(path, error)) from error
    except (yaml.YAMLError, ValueError) as error:  # an unprintable character, the 45th of May
        raise InputError(f"{path} is not valid YAML: {shorten(str(error), 120)}.") from error
    if not isinstance(content, dict):
        raise InputError(
            f"{path} must hold a mapping of keys to values at its top level, but is "
            f"{in_words(content)}."
        )
    return content


def typed_values(entries: Iterable[str], read: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Keys and values of `--config`, in their order, with numbers as numbers.

    Snakemake takes everything inside a list or mapping for text there: `x={images: 20}` gives it
    the text "20". Values that it read as numbers itself are left out, and so is what is no YAML.

    Parameters
    ----------
    entries : as given, each `key=value`.
    read : what Snakemake made of the whole configuration; numbers of its top level are kept.

    Raises
    ------
    InputError : a value has a key twice.
    """
    for entry in entries:
        key, _, text = entry.partition("=")
        if isinstance(read.get(key), bool | int | float):
            continue
        try:
            yield key, _load(text, f"--config {key}", _ArgumentLoader)
        except _RepeatedKey as error:
            raise InputError(f"--config {key}: {error.problem}.") from error
        except (yaml.YAMLError, ValueError, RecursionError):
            continue


def nearest_file(path: Path) -> str:
    """ "; did you mean 'x.yaml'?" where a YAML file near a path, or a study, has such a name."""
    files = [*path.parent.glob("*.y*ml"), *Path("studies").glob("*.y*ml")]
    return near_miss(str(path), map(str, files), LONGEST_PATH)


def _text_of(path: Path) -> str:
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        remedy = nearest_file(path) or "; correct the path, or make the file."
        raise InputError(f"There is no file {path}{remedy}") from error
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from error
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InputError(f"{path} line {line} is not UTF-8 text: save it as UTF-8.") from error
    # JSON is YAML, but for the tabs between its values.
    return text.replace("\t", " ") if path.suffix == ".json" else text


def _load(text: str, name: str, kind: type[yaml.SafeLoader] | None = None) -> Any:
    loader = (kind or _StrictLoader)(text)
    loader.name = name
    try:
        node = loader.get_single_node()
        # Deep, so that an alias (`*a`) inside the value that it stands for is refused.
        return None if node is None else loader.construct_object(node, deep=True)
    finally:
        loader.dispose()


class _RepeatedKey(yaml.MarkedYAMLError):
    """A key stands twice in a mapping."""


class _StrictLoader(yaml.SafeLoader):
    """Safe loader that refuses keys that stand twice in a mapping."""

    keys_are_text = False

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        # Checked on the nodes as written: later, `<<` mixes in keys that may be overridden.
        node = super().compose_mapping_node(anchor)
        lines: dict[object, int] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag == "tag:yaml.org,2002:merge":
                continue
            if self.keys_are_text:
                key.tag = "tag:yaml.org,2002:str"
            name, line = self.construct_object(key), key.start_mark.line + 1
            if name in lines:
                problem = (
                    f"the key {as_yaml(name)} stands twice in one mapping, first on line "
                    f"{lines[name]}: leave one"
                )
                raise _RepeatedKey(problem=problem, problem_mark=key.start_mark)
            lines[name] = line
        return node


class _ArgumentLoader(_StrictLoader):
    """Strict loader whose keys are text whatever they look like, as they are to Snakemake."""

    keys_are_text = True


def _syntax_problem(path: Path, error: yaml.MarkedYAMLError) -> str:
    mark = error.problem_mark or error.context_mark
    where = f" line {mark.line + 1}" if mark else ""
    problem = shorten(", ".join(filter(None, (error.context, error.problem))), 200)
    remedy = ": indent with spaces, not tabs" if r"'\t'" in problem else ""
    if "recursive" in problem:
        problem = "an alias (*) stands inside the value that it stands for"
    return f"{path}{where}: {problem}{remedy}."
