"""Levels spread over a pruner's rounds."""


def evenly_spread(count: int, last: int) -> list[int]:
    """`count` (2 or more) levels from 0 to `last`; some of them equal where there are fewer."""
    # halves go up: round() would take them to the even neighbour
    return [(2 * i * last + count - 1) // (2 * (count - 1)) for i in range(count)]
