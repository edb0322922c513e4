"""Damage to files, drawn by hypothesis: at the level of bytes, and of the cells of a table."""

from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

#: what nobody writes into a cell
CELLS = (
    *("", " ", "0", "-1", "1", "12", "1e3", "nan", "inf", "-inf", "9" * 19, "9" * 20, "9" * 5000),
    *("../../x.jpg", "/etc/passwd", "a/../../b.jpg", ".", "..", "x" * 300, "x" * 200_000, "a\x00b"),
    *(
        "é",
        "e\u0301",
        "😀.jpg",
        "\u202e",
        "\u2028",
        "\u0661",
        "'",
        '"',
        ",",
        "\t",
        "\r",
        "\n",
        "\\",
    ),
    *("None", "true", "<class 'int'>", "%s", "{x}"),
)


@st.composite
def damaged_bytes(draw: Callable[..., Any], whole: bytes) -> bytes:
    """A file that is cut, goes on, has other bytes, holes or parts twice; or something else."""
    size = len(whole)
    way = draw(st.sampled_from(["cut", "more", "flip", "flip", "hole", "twice", "zeros", "other"]))
    start = draw(st.integers(0, max(0, size - 1)))
    stop = min(size, start + draw(st.integers(1, 64)))
    if way == "cut":
        return whole[:start]
    if way == "more":
        return whole + draw(st.binary(min_size=1, max_size=64))
    if way == "flip":
        changed = bytearray(whole)
        for _ in range(draw(st.integers(1, 4))):
            changed[draw(st.integers(0, size - 1))] ^= draw(st.integers(1, 255))
        return bytes(changed)
    if way == "hole":
        return whole[:start] + whole[stop:]
    if way == "twice":
        return whole[:stop] + whole[start:]
    if way == "zeros":
        return whole[:start] + bytes(stop - start) + whole[stop:]
    html = b"<html><head><title>404 Not Found</title></head></html>"
    return draw(st.sampled_from([b"", b"\0", b"\n", html, whole[::-1]]) | st.binary(max_size=64))


@st.composite
def damaged_table(draw: Callable[..., Any], text: str, separator: str) -> bytes:
    """A table with a cell, a line, a column or its encoding changed."""
    lines = [line.split(separator) for line in text.splitlines()]
    row = draw(st.integers(0, len(lines) - 1))
    column = draw(st.integers(0, len(lines[row]) - 1))
    ways = ["cell", "cell", "cell", "row", "again", "swap", "short", "long", "column", "bytes"]
    way = draw(st.sampled_from([*ways, "encoding", "empty", "quote"]))
    if way == "cell":
        lines[row][column] = draw(st.sampled_from(CELLS) | st.text(max_size=5))
    elif way == "row":
        del lines[row]
    elif way == "again":
        lines.append(lines[row])
    elif way == "swap":
        other = draw(st.integers(0, len(lines[row]) - 1))
        for line in lines if draw(st.booleans()) else [lines[row]]:
            if max(column, other) < len(line):
                line[column], line[other] = line[other], line[column]
    elif way == "short":
        lines[row] = lines[row][:column]
    elif way == "long":
        lines[row].append(draw(st.sampled_from(CELLS)))
    elif way == "column":
        for line in lines:
            del line[column : column + 1]
    elif way == "quote":
        lines[row][column] = f'"{lines[row][column]}'
    elif way == "empty":
        lines = lines[: draw(st.integers(0, 1))]
    changed = "".join(separator.join(line) + "\n" for line in lines)
    if way == "encoding":
        return changed.encode(draw(st.sampled_from(["utf-16", "utf-8-sig", "utf-32", "cp037"])))
    if way == "bytes":
        return draw(damaged_bytes(changed.encode()))
    return changed.encode("utf-8", "surrogatepass")
