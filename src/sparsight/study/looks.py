"""Studies that are decided at several looks: which look is reached, and how to go to the next.

`seeds: {first: 333, look: [3, 5, 8, 10]}` trains 3 networks for the first look, 2 more for the
second, and so on. The look that a study has reached is in `results/<study>/look.json`; a plain
`snakemake` makes that look complete. `make look` goes to the next one once the present one is
decided, and says whether to go on: `python -m sparsight.study.looks --configfile study.yaml`.
"""

import argparse
import csv
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from sparsight.io.errors import InputError
from sparsight.io.files import read_json, write_json
from sparsight.study.configuration import (
    catalogue_and_study,
    normalise,
    overlaid,
    resolve,
)
from sparsight.study.quick import is_quick
from sparsight.study.yaml_files import load_yaml, typed_values

RESULTS = Path("results")
#: the look of a run that has not begun, for Snakemake and all its jobs
LOOK_VARIABLE = "SPARSIGHT_LOOK"


def reached_look(study: str, networks: Sequence[int]) -> int:
    """The look that a study has reached, from 1 on; 1 where none is recorded.

    An `InputError` is raised where the recorded looks are not the first of those that the study
    has: levels of significance that were used up cannot be shared out again.

    Parameters
    ----------
    study : its name.
    networks : how many networks it has at each look.
    """
    if given := os.environ.get(LOOK_VARIABLE):
        return min(int(given), len(networks))
    path = RESULTS / study / "look.json"
    if not path.is_file():
        return 1
    before = read_json(path).get("networks", [])
    if not before or before != [*networks[: len(before)]]:
        raise InputError(
            f"seeds.look is {list(networks)}, but {study} was decided with {before} networks "
            "already; looks that are over must stay as they are, so put them first, or give the "
            "study another name."
        )
    return len(before)


def record_look(looks: Mapping[str, Any], results: Path) -> None:
    """Write that a study runs to a look: `looks` as `with_seeds` gives them."""
    write_json(results / "look.json", {"networks": looks["networks"][: looks["at"]]})


def is_decided(looks: Mapping[str, Any], results: Path) -> bool:
    """Whether the study's tables are those of the look that it has reached."""
    path = results / "summary" / "provenance.json"
    return path.is_file() and read_json(path).get("settings", {}).get("looks") == dict(looks)


def advice(claims: Sequence[Mapping[str, str]], looks: Mapping[str, Any]) -> Iterator[str]:
    """What the claims of a look say of the next one.

    Parameters
    ----------
    claims : rows of `claims.csv`; where none is primary, all count.
    looks : `at` and `networks`.
    """
    at, networks = looks["at"], looks["networks"]
    main = [row for row in claims if row.get("tier") == "primary"]
    counted, what = main or claims, "primary claims" if main else "claims"
    still = [row["name"] for row in counted if row["verdict"] == "open"]
    yield f"Look {at} of {len(networks)}, {networks[at - 1]} networks:"
    for row in counted:
        reason = row.get("verdict_reason")
        yield f"  {row['name']}: {row['verdict']}{f' ({reason})' if reason else ''}"
    if not counted:
        yield "The study makes no claims, so more networks decide nothing."
    elif not still:
        yield f"All {len(counted)} {what} are decided: stop here."
    elif at == len(networks):
        yield f"{len(still)} of {len(counted)} {what} stay open, and this was the last look."
    else:
        yield (
            f"{len(still)} of {len(counted)} {what} are open: go on with make look, to "
            f"{networks[at]} networks."
        )


def configuration_of(arguments: Sequence[str]) -> tuple[dict[str, Any], list[str]]:
    """The configuration that options of Snakemake name, and its problems; see `resolve`."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--configfile", "--configfiles", nargs="+", type=Path, default=[])
    parser.add_argument("--config", "-C", nargs="*", default=[])
    options, _ = parser.parse_known_args(arguments)
    given = [{key: value} for key, value in typed_values(options.config, {})]
    own = bool(options.configfile) or any(map(is_quick, given))
    whole = catalogue_and_study(Path(), own=own)
    for path in options.configfile:
        whole = overlaid(whole, load_yaml(path))
    for part in given:
        whole = overlaid(whole, part)
    return resolve(normalise(whole), reached_look)


def main(arguments: Sequence[str]) -> int:
    """Run a study to its next look, decide its claims, and print whether to go on.

    `arguments` are options of Snakemake. A look that is not complete is made complete first.
    """
    config, problems = configuration_of(arguments)
    if problems:
        raise InputError("\n".join(f"Configuration: {problem}" for problem in problems))
    if "looks" not in config:
        raise InputError(
            f"the seeds of {config['study']} do not come by looks; give it "
            "seeds: {first: 0, look: [3, 5, 8, 10]}, or run snakemake."
        )
    looks, results = dict(config["looks"]), RESULTS / config["study"]
    if is_decided(looks, results) and looks["at"] < len(looks["networks"]):
        looks["at"] += 1
    command = [str(Path(sys.executable).with_name("snakemake")), *arguments]
    done = subprocess.run(command, env={**os.environ, LOOK_VARIABLE: str(looks["at"])}, check=False)
    if done.returncode or not is_decided(looks, results):
        return done.returncode
    path = results / "summary" / "claims.csv"
    rows = []
    if path.is_file():
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
    sys.stdout.writelines(f"{line}\n" for line in advice(rows, looks))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except InputError as error:
        sys.exit(str(error))
