"""What the claims of a study can show before it runs, from the spread of a run that is there.

`make plan` prints, for each claim and number of networks, the effect that is shown and the effect
that is excluded with a power of 80%, and how many networks its published effect takes:
`python -m sparsight.study.power --configfile study.yaml`. The spread comes from a pilot: the
study's own earlier `claims.csv`, or that of a reference with a claim of the same name and test.
"""

import csv
import math
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sparsight.analysis.claims.registry import CLAIMS, FEWEST_NETWORKS
from sparsight.analysis.crossed import Components
from sparsight.analysis.verdicts import detectable, excludable, look_levels, networks_to_show
from sparsight.io.errors import InputError
from sparsight.study.looks import RESULTS, configuration_of
from sparsight.study.plan import Study, available_images

REFERENCES = RESULTS / "reference"
#: level of a row before it is shared out
ALPHA = 0.05


@dataclass(frozen=True)
class Pilot:
    """What an earlier run says of a claim: where it stands, and variances by network and image."""

    source: Path
    components: Components
    images: int


@dataclass(frozen=True)
class Prospect:
    """What a claim can show with some number of networks.

    Attributes
    ----------
    name : of the claim.
    networks : how many.
    effect : size of the published effect, or else of the smallest that matters.
    published : the published effect with its sign; NaN where there is none.
    smallest : the smallest effect that matters; NaN where none is given.
    source : file of the pilot; None without one, and then all that follows is NaN or None.
    shows : the effect that is shown with this power, in the unit of the quantity; NaN with fewer
        networks than a verdict takes.
    excludes : the effect that is excluded on both sides where there is none; NaN as `shows`.
    needed : the fewest networks that show `effect`; None where no number does, or there is none.
    """

    name: str
    networks: int
    effect: float
    published: float
    smallest: float
    source: Path | None = None
    shows: float = math.nan
    excludes: float = math.nan
    needed: int | None = None


def find_pilot(
    claim: Mapping[str, Any], study: str, results: Path = RESULTS, references: Path = REFERENCES
) -> Pilot | None:
    """The pilot of a claim; None without one.

    The study's own tables come first, then the reference of its name, those with the claim's data
    set, and all others.

    Parameters
    ----------
    claim : with `name`, `test` and `dataset`.
    study : its name.
    """
    own = [results / study / "summary" / "claims.csv", references / study / "claims.csv"]
    others = sorted(set(references.glob("*/claims.csv")) - {*own})
    found = [(path, row) for path in (*own, *others) for row in _rows(path, claim)]
    found.sort(key=lambda one: one[0] not in own and one[1]["dataset"] != claim["dataset"])
    return next(filter(None, (_pilot(path, row) for path, row in found)), None)


def _rows(path: Path, claim: Mapping[str, Any]) -> list[dict[str, str]]:
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        wanted = claim["name"], claim["test"]
        return [row for row in csv.DictReader(file) if (row["name"], row["test"]) == wanted]


def _pilot(path: Path, row: Mapping[str, str]) -> Pilot | None:
    """From the three parts of a standard error; None where a row has no interval."""
    columns = ("se_networks", "se_images", "se_residual", "n_seeds", "n_images")
    networks, images, residual, seeds, count = (float(row.get(key) or math.nan) for key in columns)
    components = Components(networks**2 * seeds, images**2 * count, residual**2 * seeds * count)
    if not sum(components) > 0:
        return None
    return Pilot(path, components, int(count))


def prospects(
    study: Study,
    results: Path = RESULTS,
    references: Path = REFERENCES,
    *,
    with_needed: bool = True,
) -> Iterator[Prospect]:
    """What each claim of a study can show, at each look where seeds come by looks.

    A secondary claim is counted at the level of the first of its family, the most that it may have
    to pass. Claims that pool others are left out: their spread is that between data sets. Without
    the search for the `needed` networks it takes a part of the time.
    """
    claims = study.config["claims"]
    secondary = sum(claim.get("tier") == "secondary" for claim in claims)
    first = study.networks()[0]
    for given in claims:
        if "claims" in CLAIMS.facts(given["test"])["refers"].values():
            continue
        claim = {"dataset": first.dataset, "model": first.model, **given}
        seeds = len(study.network(claim["dataset"], claim["model"]).seeds)
        alpha = ALPHA / (secondary if claim.get("tier") == "secondary" else 1)
        looks = study.looks
        levels = look_levels(looks, alpha) if looks else [alpha]
        pilot = find_pilot(claim, study.name, results, references)
        plans = [*zip(looks or [seeds], levels, strict=True)]
        # without a pilot all looks would say the same
        for networks, level in plans if pilot else plans[-1:]:
            found = _prospect(study, claim, pilot, networks, level)
            if with_needed and pilot and found.effect > 0:
                images = _images(study, claim, pilot)
                needed = networks_to_show(pilot.components, images, found.effect, level)
                found = replace(found, needed=needed)
            yield found


def _prospect(
    study: Study, claim: Mapping[str, Any], pilot: Pilot | None, networks: int, alpha: float
) -> Prospect:
    # levels and accuracies are no effects
    is_effect = CLAIMS.facts(claim["test"])["scale"] not in ("level", "measure")
    published = float(claim.get("published", 0.0)) if is_effect else 0.0
    smallest = float(claim.get("smallest", math.nan))
    size = abs(published) or smallest
    plain = Prospect(claim["name"], networks, size, published or math.nan, smallest)
    if pilot is None:
        return plain
    images = _images(study, claim, pilot)
    if networks >= FEWEST_NETWORKS:
        variance, df = pilot.components.at(networks, images)
        shows, excludes = (of(variance, df, alpha) for of in (detectable, excludable))
        plain = replace(plain, shows=shows, excludes=excludes)
    return replace(plain, source=pilot.source)


def _images(study: Study, claim: Mapping[str, Any], pilot: Pilot) -> int:
    """Images of the claim in this study; the pilot's where they are all or none."""
    if pilot.images < 2 or "explainer" not in claim:
        return pilot.images
    family = study.catalogue["explainers"][claim["explainer"]]["family"]
    images = study.explaining(family)["images"]
    return available_images(study, claim["dataset"]) if images == "all" else int(images)


def table_lines(found: Sequence[Prospect]) -> Iterator[str]:
    """The table of `make plan`, and what it warns of."""
    if not found:
        yield "The study makes no claims that can be planned."
        return
    width = max(len(one.name) for one in found)
    yield (
        f"{'claim':{width}}  networks  published  smallest     shows  excludes  needed  pilot"
        "    (power 80%)"
    )
    for one in found:
        sizes = (one.published, one.smallest, one.shows, one.excludes)
        texts = "".join(f"{_number(size):>10}" for size in sizes)
        needed = one.needed or "none" if one.source is not None and one.effect > 0 else "–"
        yield f"{one.name:{width}}  {one.networks:8}{texts}{needed:>8}  {one.source or 'no pilot'}"
    if few := _few(found):
        yield few


def summary_line(found: Sequence[Prospect]) -> str:
    """The same in one line, of the most networks that the study trains; "" without claims."""
    last = {one.name: one for one in found}.values()
    if not last:
        return ""
    if few := _few(found):
        return few
    known = [one for one in last if one.source is not None]
    shown = sum(one.shows <= one.effect for one in known)
    excluded = sum(one.excludes <= one.smallest for one in known)
    counts = sorted({one.networks for one in last})
    text = f"Claims: with {' or '.join(map(str, counts))} networks, {shown} of {len(known)} effects"
    text += f" are shown if they are there, and {excluded} excluded if not (power 80%)"
    without = len(last) - len(known)
    return f"{text}; {without} have no pilot; more by make plan."


def _few(found: Sequence[Prospect]) -> str:
    most = max(one.networks for one in found)
    if most >= FEWEST_NETWORKS:
        return ""
    return f"Claims: {most} networks decide none of them; train {FEWEST_NETWORKS} at least."


def _number(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.2g}"


def main(arguments: Iterable[str]) -> int:
    """Print what a dry run says, and the table of claims; `arguments` are options of Snakemake."""
    options = list(arguments)
    config, problems = configuration_of(options)
    if problems:
        raise InputError("\n".join(f"Configuration: {problem}" for problem in problems))
    command = [str(Path(sys.executable).with_name("snakemake")), "--dry-run", *options]
    done = subprocess.run(command, check=False)
    if not done.returncode:
        lines = table_lines([*prospects(Study(config))])
        sys.stdout.writelines(f"{line}\n" for line in ("", *lines))
    return done.returncode


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except InputError as error:
        sys.exit(str(error))
