"""The command `sparsight`, or `python -m sparsight`: `sparsight compare A B`."""

import sys


def main() -> None:
    """Entry point; leaves with an error message where something cannot be used."""
    command, *arguments = [*sys.argv[1:], ""]
    if command != "compare":
        sys.exit("usage: sparsight compare A B    (see sparsight compare --help)")
    from sparsight.study.compare import main as compare

    compare(arguments[:-1])


if __name__ == "__main__":
    main()
