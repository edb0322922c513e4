"""Describe the levels of one chain by subset, and resample their images with one draw for all."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sparsight.analysis.bootstrap import Counts, draw_counts, replicate_means
from sparsight.analysis.curves import DENSE
from sparsight.analysis.predictions import Predictions, read_chain
from sparsight.analysis.resampled import ACCURACY, ACCURACY_ROWS, StatisticsWriter
from sparsight.analysis.scalars import Scalars, ScoredCheckpoint, level_of, read_scalars
from sparsight.analysis.subsets import (
    BOTH,
    CHANGE_AT_BOTH,
    describe_subsets,
    members_of_subsets,
)
from sparsight.io.errors import InputError

#: of the stage `resampling`: see `sparsight.study.versions`
VERSION = 1


def resample_chain(
    scores: Iterable[Path],
    predictions: Sequence[Path],
    dense_predictions: Path,
    output: Path,
    settings: Mapping[str, Any],
) -> None:
    """Write `statistics.parquet` of one chain: one network's pruner, the dense network as level 0.

    One score file at a time is in memory, beside those of the dense network (8 bytes a score), the
    draw and the chain's replicates (4 bytes x replicates x rows of the output). The bytes do not
    depend on the order of the score files.

    Parameters
    ----------
    scores : score files of all levels and families of the chain, level 0's included.
    predictions : `predictions.parquet` of each checkpoint, parallel to `settings["levels"]`.
    dense_predictions : that of the dense network, which strata and `correct_at_both` refer to.
    output : see `sparsight.analysis.resampled` for its columns, `sparsight.analysis.subsets` for
        the subsets. Rows with the explainer "" hold the accuracy over all test images; their
        density is that of the level's score files, NaN at a level without any.
    settings : `study`, `dataset`, `model`, `pruner`, `seed`, `levels`, `statistics` (with
        `replicates`, `bootstrap_seed`), `reducers` (as in `summarise`, optional).

    Raises
    ------
    InputError
        When files are missing or corrupt, or do not belong together or to this chain.
    """
    statistics = settings["statistics"]
    replicates, seed = int(statistics["replicates"]), int(statistics["bootstrap_seed"])
    levels = [int(level) for level in settings["levels"]]
    if len(levels) != len(predictions):
        raise InputError(f"{len(predictions)} files of predictions for {len(levels)} levels")
    dense, *networks = read_chain([dense_predictions, *predictions])
    image_id = next(iter(dense.values())).image_id
    chain = _Chain(
        settings=settings,
        networks=dict(zip(levels, networks, strict=True)),
        dense=dense,
        image_id=image_id,
        counts=draw_counts(image_id, replicates, seed),
    )
    # The dense network's scores come first: changes are taken from them, image by image.
    for path in sorted(map(Path, scores), key=lambda path: (level_of(path) != 0, path)):
        chain.add(read_scalars(path, settings.get("reducers", {})))
    chain.add_accuracy()
    with StatisticsWriter(output, replicates, seed) as writer:
        for explainer in sorted(chain.rows):
            frames, parts = zip(*chain.rows.pop(explainer), strict=True)
            writer.append(pd.concat(frames, ignore_index=True), np.concatenate(parts))


@dataclass
class _Chain:
    """What is known of a chain, and the rows found so far, by explainer."""

    settings: Mapping[str, Any]
    networks: Mapping[int, Mapping[str, Predictions]]
    dense: Mapping[str, Predictions]
    image_id: NDArray[np.int64]
    counts: Counts
    rows: dict[str, list[tuple[pd.DataFrame, NDArray[np.float32]]]] = field(default_factory=dict)
    densities: dict[int, tuple[float, Path]] = field(default_factory=dict)
    owners: dict[tuple[int, str, str], Path] = field(default_factory=dict)
    #: the dense network's scores by condition and explainer
    starts: dict[tuple[str, str], Scalars] = field(default_factory=dict)

    def add(self, file: ScoredCheckpoint) -> None:
        """Describe one score file."""
        self._check(file)
        level = int(file.identity["level"])
        for scalars in file.scalars:
            for explainer in {explainer for explainer, _ in scalars.columns}:
                owner = self.owners.setdefault((level, scalars.condition, explainer), file.path)
                if owner != file.path:
                    raise InputError(
                        f"{owner} and {file.path} both score the explainer '{explainer}' at one "
                        "checkpoint; let each explainer belong to one family"
                    )
            self._describe(level, scalars, file.path)

    def add_accuracy(self) -> None:
        """Describe the accuracy of every level over all test images."""
        keys = [(level, name) for level, found in self.networks.items() for name in found]
        correct = np.stack([self.networks[level][name].correct for level, name in keys], axis=1)
        frame = pd.DataFrame(
            [
                {
                    **self._identity(level),
                    "explainer": ACCURACY_ROWS,
                    "condition": condition,
                    "metric": ACCURACY,
                    "subset": "all",
                }
                for level, condition in keys
            ]
        ).assign(n=len(correct), undefined=0, mean=correct.mean(axis=0))
        replicates = replicate_means(self.counts, correct.astype(np.float32))
        self.rows[ACCURACY_ROWS] = [(frame, np.ascontiguousarray(replicates.T))]

    def _identity(self, level: int) -> dict[str, Any]:
        names = ("study", "dataset", "model", "pruner")
        return {
            **{name: str(self.settings[name]) for name in names},
            "seed": int(self.settings["seed"]),
            "level": level,
            "density": self.densities[level][0] if level in self.densities else np.nan,
            "checkpoint_pruner": DENSE if level == 0 else str(self.settings["pruner"]),
        }

    def _check(self, file: ScoredCheckpoint) -> None:
        """Raise an `InputError` where a file is none of this chain."""
        who = file.identity
        level = int(who["level"])
        wanted = {name: str(self.settings[name]) for name in ("study", "dataset", "model", "seed")}
        wanted["pruner"] = DENSE if level == 0 else str(self.settings["pruner"])
        for name, value in wanted.items():
            if str(who[name]) != value:
                raise InputError(
                    f"{file.path} has {name} '{who[name]}' where the chain has '{value}'; "
                    "give only score files of one chain"
                )
        if level not in self.networks:
            raise InputError(f"{file.path} scores level {level}, whose predictions are not given")
        density, other = self.densities.setdefault(level, (float(who["density"]), file.path))
        if density != float(who["density"]):
            raise InputError(
                f"{file.path} and {other} were scored at different densities of one level; "
                "explain and score it again"
            )

    def _describe(self, level: int, scalars: Scalars, path: Path) -> None:
        place = self._places(scalars, path)
        network = self.networks[level].get(scalars.condition)
        dense = self.dense.get(scalars.condition)
        if network is None or dense is None:
            raise InputError(
                f"{path} scores the condition '{scalars.condition}', which the predictions of its "
                "chain lack; delete them and run snakemake again"
            )
        correct = network.correct[place]
        if not np.array_equal(correct, scalars.correct):
            raise InputError(
                f"{path} and the predictions of its checkpoint disagree on which images are "
                "classified correctly; score the explanations again"
            )
        members = members_of_subsets(
            scalars.image_id, correct, dense.correct[place], dense.margin[place]
        )
        label, counts = network.label[place], self.counts[:, place]
        found = describe_subsets(scalars.values, scalars.scored, label, members, counts)
        if level == 0:
            for explainer, _ in scalars.columns:
                self.starts[(scalars.condition, explainer)] = scalars
        else:
            changes = scalars.values - self._dense_values(scalars)
            pairs = {CHANGE_AT_BOTH: members[BOTH]}
            found |= describe_subsets(changes, scalars.scored, label, pairs, counts)
        for explainer in sorted({explainer for explainer, _ in scalars.columns}):
            mine = [i for i, (name, _) in enumerate(scalars.columns) if name == explainer]
            frame = pd.concat(
                pd.DataFrame(
                    {
                        "metric": [scalars.columns[i][1] for i in mine],
                        "subset": subset,
                        "n": means.n[mine],
                        "undefined": means.undefined[mine],
                        "mean": means.mean[mine],
                    }
                )
                for subset, means in found.items()
            ).assign(explainer=explainer, condition=scalars.condition, **self._identity(level))
            parts = [means.replicates[:, mine].T for means in found.values()]
            self.rows.setdefault(explainer, []).append((frame, np.concatenate(parts)))

    def _dense_values(self, scalars: Scalars) -> NDArray[np.float64]:
        """The dense network's values beside those of a level; NaN where it has none."""
        values = np.full(scalars.values.shape, np.nan)
        for explainer in {explainer for explainer, _ in scalars.columns}:
            start = self.starts.get((scalars.condition, explainer))
            mine = [i for i, (name, _) in enumerate(scalars.columns) if name == explainer]
            if start is not None:
                values[:, mine] = start.on(scalars)[:, mine]
        return values

    def _places(self, scalars: Scalars, path: Path) -> NDArray[np.int64]:
        """Where the scored images are among all test images."""
        place = np.searchsorted(self.image_id, scalars.image_id)
        place = np.minimum(place, len(self.image_id) - 1)
        lost = self.image_id[place] != scalars.image_id
        if lost.any():
            raise InputError(
                f"{path} scores image {scalars.image_id[lost][0]}, which its network was not "
                "evaluated on; delete its predictions and run snakemake again"
            )
        return np.asarray(place, dtype=np.int64)
