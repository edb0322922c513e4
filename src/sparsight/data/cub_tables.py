"""The text tables of Caltech-UCSD Birds-200-2011, in their original format."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sparsight.data.location import can_be_file
from sparsight.io.errors import InputError

Kinds = Sequence[Callable[[str], Any]]
_LARGEST_ID = 2**63 - 1


@dataclass(frozen=True)
class Bird:
    """One photograph.

    Attributes
    ----------
    image_id : as in `images.txt`, from 1.
    name : path below `images/`.
    class_id : as in `classes.txt`, from 1.
    is_training : whether it belongs to the official training set.
    """

    image_id: int
    name: str
    class_id: int
    is_training: bool


def id_number(text: str) -> int:
    """A number that can be an id.

    Raises
    ------
    ValueError
        When it is none, or does not fit into 64 bits.
    """
    number = int(text)
    if not 0 <= number <= _LARGEST_ID:
        raise ValueError
    return number


def flag(text: str) -> bool:
    """1 or 0.

    Raises
    ------
    ValueError
        When it is something else.
    """
    if text not in ("0", "1"):
        raise ValueError
    return text == "1"


def coordinate(text: str) -> float:
    """A finite number of pixels.

    Raises
    ------
    ValueError
        When it is none.
    """
    number = float(text)
    if not math.isfinite(number):
        raise ValueError
    return number


def relative_name(text: str) -> str:
    """A name of a file below the archive's own folder.

    Raises
    ------
    ValueError
        When it leads elsewhere.
    """
    if not can_be_file(text):
        raise ValueError
    return text


def table_rows(path: Path, kinds: Kinds, more: bool = False) -> Iterator[tuple[Any, ...]]:
    """The columns of each line of a table that is separated by blanks.

    Parameters
    ----------
    path : the table.
    kinds : what makes a value of each column's text, such as `int`.
    more : whether further columns are tolerated, and left out.

    Raises
    ------
    InputError
        When the file cannot be read, or a line has other columns.
    """
    try:
        with open(path, encoding="utf-8-sig") as lines:
            for number, line in enumerate(lines, 1):
                words = line.split()
                if not words:
                    continue
                try:
                    if len(words) < len(kinds) or (len(words) > len(kinds) and not more):
                        raise ValueError
                    yield tuple(kind(word) for kind, word in zip(kinds, words, strict=False))
                except ValueError as error:
                    raise InputError(
                        f"{path}, line {number}: {line.strip()[:60]!r} is not what it should be "
                        f"({len(kinds)} columns); put the original file there"
                    ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise _missing(path, error) from error


def keyed_rows(path: Path, kinds: Kinds) -> dict[int, Any]:
    """A table by its first column, an id: a value, or a tuple where there are several columns.

    Raises
    ------
    InputError
        As `table_rows`, and when an id occurs twice.
    """
    found: dict[int, Any] = {}
    for key, *values in table_rows(path, kinds):
        if key in found:
            raise InputError(f"{path} has the id {key} twice; put the original file there")
        found[key] = values[0] if len(values) == 1 else tuple(values)
    return found


def lookup(table: Mapping[int, Any], key: int, path: Path) -> Any:
    """`table[key]`.

    Raises
    ------
    InputError
        When it lacks; the sentence names the file at `path`.
    """
    if key not in table:
        raise InputError(f"{path} lacks the id {key}; put the original file there")
    return table[key]


def read_classes(folder: Path, count: int, partial: bool) -> dict[int, str]:
    """Class id to name without its number (`Black footed Albatross`), in the order of the ids.

    Raises
    ------
    InputError
        When there are not `count` classes, unless `partial`, or an id is not in 1..`count`.
    """
    path = folder / "classes.txt"
    names = keyed_rows(path, (int, str))
    for key in names:
        if not 1 <= key <= count:
            raise InputError(
                f"{path} has the class id {key}, outside 1..{count}; put the original file there"
            )
    if len(names) != count and not partial:
        raise InputError(
            f"{path} names {len(names)} of {count} classes; put the original file there, or accept "
            "a part with 'partial: true'"
        )
    return {key: names[key].partition(".")[2].replace("_", " ") for key in sorted(names)}


def read_birds(folder: Path, count: int, partial: bool) -> list[Bird]:
    """All photographs, in the order of their ids.

    Parameters
    ----------
    folder : the archive's folder.
    count : how many there are in the whole archive.
    partial : whether a part of them is enough: those that are listed and whose file is there.

    Raises
    ------
    InputError
        When photographs are missing, or the tables do not agree.
    """
    listed, labels, training = (folder / f"{name}.txt" for name in _TABLES)
    names = keyed_rows(listed, (id_number, relative_name))
    classes = keyed_rows(labels, (id_number, int))
    trained = keyed_rows(training, (id_number, flag))
    places: dict[str, int] = {}
    for image_id, name in names.items():
        if name in places:
            raise InputError(f"{listed} lists {name} twice; put the original file there")
        places[name] = image_id
    there = [key for key in sorted(names) if (folder / "images" / names[key]).is_file()]
    if not partial and (len(names) != count or len(there) != count):
        missing = next((names[key] for key in sorted(names) if key not in set(there)), None)
        raise InputError(
            f"{folder} has {len(there)} of {count} images"
            + (f" (images/{missing} is missing)" if missing else "")
            + "; add the missing ones, or accept a part with 'partial: true'"
        )
    if not there:
        raise InputError(f"{folder / 'images'} has none of the images that {listed} lists")
    return [
        Bird(
            key,
            names[key],
            lookup(classes, key, labels),
            lookup(trained, key, training),
        )
        for key in there
    ]


_TABLES = ("images", "image_class_labels", "train_test_split")


def read_boxes(folder: Path) -> dict[int, tuple[float, float, float, float]]:
    """Bounding box of each image id: x, y, width and height in pixels of the photograph."""
    return keyed_rows(folder / "bounding_boxes.txt", (id_number, *[coordinate] * 4))


def read_parts(folder: Path, count: int) -> dict[int, dict[int, tuple[float, float]]]:
    """Where the visible parts of each image id are: part number from 0 to (x, y) in pixels.

    Raises
    ------
    InputError
        When the file cannot be read, or names a part outside 1..`count`.
    """
    path = folder / "parts" / "part_locs.txt"
    found: dict[int, dict[int, tuple[float, float]]] = {}
    kinds = (id_number, int, coordinate, coordinate, flag)
    for image_id, part, x, y, visible in table_rows(path, kinds):
        if not 1 <= part <= count:
            raise InputError(f"{path} names the part {part}, outside 1..{count}; replace it")
        here = found.setdefault(image_id, {})
        if visible:
            here[part - 1] = (x, y)
    return found


def _missing(path: Path, error: Exception) -> InputError:
    reason = getattr(error, "strerror", None) or "no text"
    return InputError(f"{path} cannot be read ({reason}); put the archive's own file there")
