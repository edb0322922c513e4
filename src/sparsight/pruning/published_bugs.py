"""Mistakes of published code, behind switches, so that their effect can be measured.

This table is read before any job starts; it imports nothing.
"""

#: name in a pruner's `published_bugs` to what it does and where it was found
PUBLISHED_BUGS = {
    "openlth_threshold": (
        "OpenLTH takes ceil(rate * survivors) and keeps weights strictly above the threshold, so "
        "that one weight more falls each round: 2 of 2,324 weights are left after 25 rounds at "
        "20%, not 11 (Lukkien's thesis, density 0.09%)"
    ),
}
