"""Values of single images: means without each of them, files of a study, pseudo-values, claims."""

import math

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from sparsight.analysis.claims.base import ClaimCurves
from sparsight.analysis.claims.decide import check_claims, look_at
from sparsight.analysis.claims.images import Checkpoint, Networks, Scored, StudyImages, describe
from sparsight.analysis.claims.registry import CLAIMS
from sparsight.analysis.crossed import crossed, jackknife
from sparsight.analysis.resample import (
    CHANGE_AT_BOTH,
    CORRECT,
    INCORRECT,
    SUBSETS,
    describe_subsets,
    members_of_subsets,
)
from sparsight.analysis.sample_pruning import FIDELITY_SCHEMA
from sparsight.analysis.statistics import CORRELATION
from sparsight.analysis.tables import TABLES, read
from sparsight.io.errors import InputError
from sparsight.io.tables import read_table, write_table
from tests.tables import write_rows

OF = Networks("digits", "cnn", "magnitude", "clean")
DENSE = OF._replace(pruner="dense")


# ------------------------------------------------------------------------ means without an image


class Images:
    """40 images of five labels: label 3 has only correct, label 4 only incorrect predictions."""

    def __init__(self, seed=0):
        rng = np.random.default_rng(seed)
        self.label = np.arange(40) % 5
        self.values = rng.random(40) + 0.1 * self.label
        self.values[rng.random(40) < 0.15] = np.nan
        correct = rng.random(40) < 0.6
        correct[self.label == 3], correct[self.label == 4] = True, False
        self.seen = rng.random(40) < 0.9
        margin = rng.random(40).round(1)
        margin[7] = np.nan
        self.predicted = self.frame(correct, margin)
        self.dense = self.frame(rng.random(40) < 0.8, rng.random(40).round(1))

    def frame(self, correct, margin):
        return pd.DataFrame({"label": self.label, "correct": correct, "margin": margin})

    def describe(self, subset):
        return describe(self.values, self.seen, subset, self.predicted, self.dense)

    def members(self):
        """Bool [40] of each subset."""
        images = np.flatnonzero(self.seen)
        parts = self.predicted["correct"], self.dense["correct"], self.dense["margin"]
        found = members_of_subsets(images, *(part.to_numpy()[images] for part in parts))
        return {name: np.isin(np.arange(40), images[inside]) for name, inside in found.items()}

    def mean(self, subset, members, without=None):
        """The mean anew, label by label, after the definition of the subsets."""
        kept = np.isfinite(self.values) & (np.arange(40) != without)
        if subset not in (CORRECT, INCORRECT):
            inside = kept & members[subset]
            return self.values[inside].mean() if inside.any() else math.nan
        sides = {name: kept & members[name] for name in (CORRECT, INCORRECT)}
        means, weights = [], []
        for label in range(5):
            right, wrong = (side & (self.label == label) for side in sides.values())
            if right.any() and wrong.any():
                means.append(self.values[right if subset == CORRECT else wrong].mean())
                weights.append(wrong.sum())
        return np.average(means, weights=weights) if means else math.nan


@pytest.mark.parametrize("subset", SUBSETS)
@pytest.mark.parametrize("seed", [0, 1])
class TestDescribe:
    def test_the_mean_is_that_of_the_tables(self, subset, seed):
        images = Images(seed)
        found = describe_subsets(
            images.values[images.seen, np.newaxis],
            np.ones((images.seen.sum(), 1), dtype=bool),
            images.label[images.seen],
            {name: inside[images.seen] for name, inside in images.members().items()},
            np.ones((1, images.seen.sum()), dtype=np.float32),
        )[subset]
        mean, _, n = images.describe(subset)
        assert mean == pytest.approx(found.mean[0])
        assert n == found.n[0]

    def test_each_image_is_left_out(self, subset, seed):
        images = Images(seed)
        mean, without, _ = images.describe(subset)
        members = images.members()
        assert mean == pytest.approx(images.mean(subset, members))
        expected = [images.mean(subset, members, image) for image in range(40)]
        assert without == pytest.approx(expected)
        # those that are not in it, or have no value, change nothing
        away = ~members[subset] | ~np.isfinite(images.values)
        if subset not in (CORRECT, INCORRECT):
            assert without[away] == pytest.approx(np.full(away.sum(), mean))


def test_without_its_last_image_a_mean_is_undefined():
    images = Images()
    images.seen = np.zeros(40, dtype=bool)
    images.values = np.arange(40.0)
    images.seen[[3, 8, 13]] = True
    images.predicted = images.frame(np.isin(np.arange(40), [3, 8]), np.zeros(40))
    # two correct images of label 3 and one incorrect
    mean, without, n = images.describe(CORRECT)
    assert (mean, n) == (5.5, 2)
    assert without[[3, 8, 13]] == pytest.approx([8, 3, math.nan], nan_ok=True)
    mean, without, n = images.describe(INCORRECT)
    assert (mean, n) == (13, 1)
    assert math.isnan(without[13])
    images.values[:] = np.nan
    for subset in SUBSETS:
        mean, without, n = images.describe(subset)
        assert n == 0
        assert np.isnan([mean, *without[images.seen]]).all()


# ------------------------------------------------------------------------------------- files

IDS = np.array([3, 5, 8, 13, 21, 34])
#: of six images, by seed and level
RIGHT = {
    (1, 0): [1, 1, 1, 1, 1, 1],
    (1, 1): [1, 1, 0, 1, 0, 1],
    (2, 0): [1, 1, 1, 1, 1, 0],
    (2, 1): [0, 1, 1, 1, 1, 0],
}


class Files:
    """A study of two networks at two levels, as files."""

    def __init__(self, folder, write_scores):
        self.folder, self.write_scores = folder, write_scores

    @staticmethod
    def place(seed, level):
        return Checkpoint("digits", "cnn", "magnitude" if level else "dense", seed, level)

    def predict(self, seed, level, ids=IDS, right=None, order=None, condition="clean"):
        right = np.array(RIGHT[seed, level] if right is None else right, dtype=bool)
        order = np.arange(len(ids))[::-1] if order is None else order
        label = np.arange(len(ids)) % 2
        columns = {
            "image_id": ids[order],
            "condition": [condition] * len(ids),
            "label": label[order],
            "predicted": np.where(right, label, 9)[order],
            "margin": np.linspace(0.0, 1.0, len(ids))[order],
        }
        path = self.folder / f"predictions{seed}{level}.parquet"
        write_table(path, columns)
        return path

    def predictions(self):
        return {self.place(*key): self.predict(*key) for key in RIGHT}

    def score(self, seed, level, values, right=None, ids=IDS, steps=None, explainer="cam", **keys):
        right = np.array(RIGHT[seed, level], dtype=bool) if right is None else right
        rows = [
            (explainer, "iou", int(image), correct, value)
            for image, correct, value in zip(ids, right, values, strict=True)
        ]
        for step, scale in (steps or {}).items():
            rows += [
                (explainer, "road", *row[2:4], scale * row[4], step) for row in rows[: len(ids)]
            ]
        pruner = "magnitude" if level else "dense"
        return self.write_scores(
            rows[::-1], pruner=pruner, level=level, seed=seed, density=0.5**level, **keys
        )

    def agree(self, seed, level, values, ids=IDS):
        frame = pd.DataFrame({"image_id": ids, "value": values})
        frame = frame.assign(
            **{"study": "demo", "dataset": "digits", "model": "cnn", "seed": seed, "level": level},
            **{"pruner": "magnitude" if level else "dense", "density": 0.5**level},
            **{"explainer": "cam", "condition": "clean", "metric": "ssim_dense"},
        )
        path = self.folder / f"agreement{seed}{level}.parquet"
        write_table(path, {name: frame[name].to_numpy() for name in frame})
        return path

    def read(self, scores, predictions=None, agreement=(), **reducers):
        entries = {"explainers": ["cam"], "metrics": ["iou", "road", "ssim_dense"]}
        places = [self.place(*key) for key in RIGHT]
        return StudyImages.read(
            scores,
            self.predictions() if predictions is None else predictions,
            {place: 0.5**place.level for place in places},
            reducers,
            {"digits/cnn": entries},
            agreement,
        )


@pytest.fixture
def files(tmp_path, write_scores):
    return Files(tmp_path, write_scores)


VALUES = {
    (1, 0): [0.1, 0.2, 0.3, 0.4, 0.5, 0.6],
    (1, 1): [0.2, 0.2, 0.3, 0.6, np.nan, 0.7],
    (2, 0): [0.3, 0.2, 0.1, 0.4, 0.5, 0.9],
    (2, 1): [0.5, 0.2, 0.1, 0.4, 0.5, 1.0],
}


class TestRead:
    def test_curves(self, files):
        study = files.read([files.score(*key, values) for key, values in VALUES.items()])
        assert study.seeds(OF) == [1, 2]
        assert study.seeds(OF._replace(pruner="other")) == []
        assert study.image_ids(OF).tolist() == IDS.tolist()
        found = study.curve(OF, "cam", "iou", "all")
        expected = [[np.nanmean(VALUES[seed, level]) for level in (0, 1)] for seed in (1, 2)]
        assert found.mean == pytest.approx(np.array(expected))
        assert found.density.tolist() == [[1, 0.5]] * 2
        assert (found.levels.tolist(), found.n.tolist()) == ([0, 1], [[6, 5], [6, 6]])
        assert found.scored.all()
        assert found.replicates.shape == (2, 2, 6)
        assert found.replicates[1, 1, 5] == pytest.approx(np.mean(VALUES[2, 1][:5]))

    def test_accuracy(self, files):
        found = files.read([]).accuracy(OF)
        assert found.mean == pytest.approx(np.array([[1, 4 / 6], [5 / 6, 4 / 6]]))
        assert found.replicates[0, 1] == pytest.approx(np.array([3, 3, 4, 3, 4, 3]) / 5)
        assert files.read([]).dense_and_majority(OF) == pytest.approx((11 / 12, 0.5))

    def test_what_both_get_right(self, files):
        study = files.read([files.score(*key, values) for key, values in VALUES.items()])
        both = study.curve(OF, "cam", "iou", "correct_at_both")
        changes = study.curve(OF, "cam", "iou", CHANGE_AT_BOTH)
        # seed 1: images 0, 1, 3 and 5; seed 2: 1, 2, 3 and 4
        assert both.mean[:, 1] == pytest.approx([(0.2 + 0.2 + 0.6 + 0.7) / 4, 0.3])
        assert changes.mean[:, 1] == pytest.approx([(0.1 + 0.0 + 0.2 + 0.1) / 4, 0.0])
        assert np.isnan(changes.mean[:, 0]).all()
        assert changes.replicates[0, 1, 3] == pytest.approx(0.2 / 3)

    def test_only_some_images_and_networks_are_scored(self, files):
        paths = [
            files.score(1, 0, [0.1, 0.2], right=[1, 1], ids=IDS[:2]),
            files.score(1, 1, [0.4, 0.8], right=[1, 0], ids=IDS[1:3]),
        ]
        found = files.read(paths).curve(OF, "cam", "iou", "all")
        assert found.scored.tolist() == [True, True, True, False, False, False]
        assert found.mean == pytest.approx(np.array([[0.15, 0.6], [np.nan] * 2]), nan_ok=True)
        assert found.n.tolist() == [[2, 2], [0, 0]]

    def test_steps_become_one_number(self, files):
        path = files.score(1, 1, VALUES[1, 0], steps={0: 1.0, 10: 3.0})
        found = files.read([path], road="mean").curve(OF, "cam", "road", "all")
        assert found.mean[0] == pytest.approx([2 * 0.35])
        with pytest.raises(InputError, match="road"):
            files.read([path])

    def test_empty_maps(self, files):
        paths = [
            files.score(1, 0, VALUES[1, 0], empty=[3]),
            files.score(2, 0, VALUES[2, 0], empty=[3, 5]),
            files.score(1, 1, VALUES[1, 1], empty=IDS[:5].tolist()),
            files.score(2, 1, VALUES[2, 1]),
        ]
        share = files.read(paths).empty_share
        assert share(OF, "cam", "iou", [0]) == pytest.approx(3 / 12)
        # the largest of the levels, not that over all
        assert share(OF, "cam", "iou", [0, 1]) == pytest.approx(5 / 12)
        assert math.isnan(share(OF, "cam", "iou", [7]))
        assert math.isnan(share(OF, "edges", "iou", [0]))

    def test_agreement_with_the_dense_parent(self, files):
        paths = [
            files.agree(1, 0, np.ones(6)),
            files.agree(1, 1, VALUES[1, 1]),
            files.agree(2, 1, VALUES[2, 1]),
        ]
        study = files.read([], agreement=paths)
        found = study.curve(OF, "cam", "ssim_dense", "all")
        # dense networks have no parent
        assert found.levels.tolist() == [1]
        assert found.mean[:, 0] == pytest.approx([0.4, 0.45])
        # one undefined among twelve
        assert study.empty_share(OF, "cam", "ssim_dense", [1]) == pytest.approx(1 / 12)

    def test_files_that_do_not_belong_together(self, files):
        unknown = files.score(1, 1, [0.1, 0.2], right=[1, 1], ids=np.array([3, 4]))
        with pytest.raises(InputError, match="scores image 4"):
            files.read([unknown])
        disagreeing = files.score(1, 1, VALUES[1, 1], right=np.ones(6, dtype=bool))
        with pytest.raises(InputError, match="disagree"):
            files.read([disagreeing])
        other = files.score(1, 1, VALUES[1, 1], condition="noisy")
        with pytest.raises(InputError, match="noisy"):
            files.read([other])
        predictions = files.predictions()
        del predictions[files.place(1, 1)]
        with pytest.raises(InputError, match="predictions are not given"):
            files.read([files.score(1, 1, VALUES[1, 1])], predictions)
        stray = files.agree(1, 1, [0.1, 0.2], ids=np.array([3, 4]))
        with pytest.raises(InputError, match="image 4"):
            files.read([], agreement=[stray])
        with pytest.raises(InputError, match="does not exist"):
            files.read([files.folder / "nothing.parquet"])

    def test_predictions_that_do_not_belong_together(self, files):
        predictions = files.predictions()
        predictions[files.place(2, 1)] = files.predict(2, 1, ids=IDS + 1)
        with pytest.raises(InputError, match="same images"):
            files.read([], predictions)
        predictions = {key: path for key, path in files.predictions().items() if key.level}
        with pytest.raises(InputError, match="has no predictions"):
            files.read([], predictions).accuracy(OF)

    def test_what_was_never_scored(self, files):
        study = files.read([files.score(1, 1, VALUES[1, 1])])
        for names in (("edges", "iou"), ("cam", "mass")):
            with pytest.raises(InputError, match=f"{names[0]} by {names[1]}"):
                study.curve(OF, *names, "all")
        with pytest.raises(InputError, match="noisy"):
            study.accuracy(OF._replace(condition="noisy"))

    def test_scores_of_a_network_that_no_claim_is_about(self, files):
        wanted = files.score(1, 1, VALUES[1, 1])
        more = files.score(1, 1, VALUES[1, 1], model="other", family="more")
        found = files.read([wanted, more])
        assert found.curve(OF, "cam", "iou", "all").n.tolist() == [[5], [0]]


# ------------------------------------------------------------------------------ pseudo-values

CLAIM = {
    **{"name": "a", "claim": "It is so.", "dataset": "digits", "model": "cnn"},
    **{"pruner": "magnitude", "condition": "clean", "explainer": "cam", "metric": "iou"},
}


class Study(StudyImages):
    """Four networks at five levels on 30 images, of which 24 were explained."""

    def __init__(self, seed=0, explained=24, seeds=4, levels=5):
        rng = np.random.default_rng(seed)
        self.ids = np.arange(100, 130)
        self.scored = np.sort(rng.permutation(30)[:explained])
        #: [S, L, 24] and [S, L, 30]
        self.iou = rng.random((seeds, levels, explained))
        self.iou += 0.2 * np.arange(levels)[:, np.newaxis]
        self.right = rng.random((seeds, levels, 30)) < 0.5 + 0.08 * np.arange(levels)[:, np.newaxis]
        scores, predictions, densities = {}, {}, {}
        for s in range(seeds):
            for level in range(levels):
                place = Checkpoint("digits", "cnn", "magnitude" if level else "dense", s, level)
                columns = {"label": np.arange(30) % 3, "correct": self.right[s, level]}
                frame = pd.DataFrame({**columns, "margin": rng.random(30)}, index=self.ids)
                predictions[place] = {"clean": frame}
                densities[place] = 0.5**level
                scores[place, "clean", "cam", "iou"] = Scored(
                    self.ids[self.scored], self.iou[s, level], np.zeros(explained, dtype=bool)
                )
        super().__init__(scores, predictions, densities)


def looked(study, test, **keys):
    claim = {**CLAIM, "test": test, **keys}
    return look_at(CLAIMS.load(test)(claim), ClaimCurves(study, claim))


class TestDifferences:
    def test_of_a_mean_are_the_values_of_images(self):
        study = Study()
        found = looked(study, "change", levels=[1, 3])
        wanted = study.iou[:, 1:4].mean(axis=1) - study.iou[:, 0]
        # only images that were scored
        assert found.image_id.tolist() == study.ids[study.scored].tolist()
        assert found.matrix == pytest.approx(wanted)
        assert found.estimate.value == pytest.approx(wanted.mean())
        assert found.estimate.variance == pytest.approx(crossed(wanted).variance)
        assert found.estimate.images == 24

    def test_of_accuracy_are_those_of_all_images(self):
        study = Study()
        found = looked(study, "no_loss", of="accuracy", density=0.5, smallest=0.1)
        assert found.image_id.tolist() == study.ids.tolist()
        right = study.right.astype(float)
        assert found.matrix == pytest.approx(right[:, 0] - right[:, 1])

    def test_of_a_correlation_are_those_of_the_jackknife(self):
        study = Study()
        found = looked(study, "correlation", coefficient="pearson")
        # of images that were not explained only the prediction counts
        iou = np.full((4, 5, 30), np.nan)
        iou[:, :, study.scored] = study.iou
        both = np.stack([iou, study.right.astype(float)], axis=1)
        data = both.transpose(0, 3, 1, 2).reshape(4, 30, 10)

        def statistic(means):
            x, y = means[..., :5], means[..., 5:]
            x, y = (series - series.mean(axis=-1, keepdims=True) for series in (x, y))
            return (x * y).sum(-1) / np.sqrt((x**2).sum(-1) * (y**2).sum(-1))

        wanted = jackknife(statistic, data)
        assert found.matrix == pytest.approx(wanted)
        assert found.estimate.value == pytest.approx(crossed(wanted, CORRELATION).value)
        assert found.estimate.variance == pytest.approx(crossed(wanted, CORRELATION).variance)
        # what the row says of each network is free of the bias of few images
        means = zip(study.iou.mean(axis=2), study.right.mean(axis=2), strict=True)
        plain = [np.corrcoef(*pair)[0, 1] for pair in means]
        assert found.evidence.quantity.values == pytest.approx(plain)
        assert found.matrix.mean(axis=1) != pytest.approx(plain, abs=1e-3)

    def test_means_that_agree_by_chance_have_images_that_do_not(self):
        study = Study(seeds=4, levels=2)
        away = 0.01 * np.random.default_rng(5).standard_normal((4, 24))
        away -= away.mean(axis=1, keepdims=True) + np.array([[1e-8], [2e-8], [0.0], [1e-8]])
        study.iou[:, 1] = study.iou[:, 0] + away
        for s in range(4):
            place = Checkpoint("digits", "cnn", "magnitude", s, 1)
            key = place, "clean", "cam", "iou"
            study._scores[key] = study._scores[key]._replace(values=study.iou[s, 1])
        found = looked(study, "change", levels=[1, 1])
        assert found.matrix == pytest.approx(away, abs=1e-9)

    def test_networks_that_agree_up_to_rounding_have_no_test(self):
        study = Study(seeds=4, levels=2)
        for s in range(4):
            dense, pruned = (
                (Checkpoint("digits", "cnn", pruner, s, level), "clean", "cam", "iou")
                for pruner, level in (("dense", 0), ("magnitude", 1))
            )
            values = study._scores[dense].values
            study._scores[pruned] = study._scores[dense]._replace(
                values=values.astype(np.float32).astype(float) * (1 + 6e-8 * (-1) ** s)
            )
        found = looked(study, "change", levels=[1, 1])
        assert (found.matrix == 0).all()
        assert found.decide(0.05) == ("not testable here", "the networks do not differ")

    def test_of_a_single_image(self):
        study = Study(explained=1)
        found = looked(study, "change", levels=[1, 1])
        assert found.image_id.tolist() == study.ids[study.scored].tolist()
        assert found.matrix == pytest.approx(study.iou[:, 1] - study.iou[:, 0])

    def test_of_a_level_that_jumps(self):
        found = looked(Study(), "peak", between=[1, 4])
        assert found.image_id.tolist() == [-1]
        assert found.matrix[:, 0] == pytest.approx(np.argmax(Study().iou.mean(axis=2), axis=1))

    @pytest.mark.parametrize(
        ("key", "value"), [("explainer", "edges"), ("pruner", "other"), ("condition", "noisy")]
    )
    def test_of_what_does_not_run(self, key, value):
        with pytest.raises(InputError, match=value):
            looked(Study(), "change", levels=[1, 3], **{key: value})

    def test_a_task_that_is_not_learnt(self):
        study = Study()
        for place, predictions in study._predictions.items():
            if place.level == 0:
                predictions["clean"]["correct"] = np.arange(30) % 3 == 1
        found = looked(study, "change", levels=[1, 3])
        assert found.decide(0.05).verdict == "not testable here"
        assert "not learnt" in found.reason


# ------------------------------------------------------------------------------------- tables


class TestCheckClaims:
    """Four networks of 12 images at three levels, through files."""

    NETWORKS = range(1, 5)
    IDS = np.arange(0, 36, 3)

    @pytest.fixture
    def run(self, tmp_path, write_scores):
        rng = np.random.default_rng(4)
        files = Files(tmp_path, write_scores)
        scores, places, predictions, rows = [], [], [], []
        self.iou, self.right = {}, {}
        for seed in self.NETWORKS:
            for level in range(3):
                right = rng.random(12) < 0.8
                value = (0.3 + 0.1 * level + 0.05 * rng.random(12)).astype(np.float32)
                self.iou[seed, level], self.right[seed, level] = value.astype(float), right
                pruner = "magnitude" if level else "dense"
                scores.append(files.score(seed, level, value, right=right, ids=self.IDS))
                places.append(["digits", "cnn", pruner, seed, level])
                predictions.append(files.predict(seed, level, ids=self.IDS, right=right))
                for metric, number in (("density_prunable", 0.5**level), ("accuracy", 0.8)):
                    place = dict(zip(Checkpoint._fields, places[-1], strict=True))
                    rows.append({**place, "metric": metric, "value": number})
        evaluations = tmp_path / "evaluations.parquet"
        write_rows("evaluations", evaluations, pd.DataFrame(rows))

        def run(claims, name="claims", step=1, fidelities=(), **more):
            output = tmp_path / f"{name}.csv"
            matrices = {claim["name"]: tmp_path / f"{claim['name']}.parquet" for claim in claims}
            order = slice(None, None, step)
            settings = {
                **{"claims": claims, "checkpoints": places[order], "reducers": {}, "copies": {}},
                **{"statistics": {"confidence": 0.95}, "look": 0, "looks": [], **more},
            }
            files = scores[order], predictions[order], evaluations, output, matrices
            check_claims(*files, settings, fidelities=fidelities)
            return output, {name: path for name, path in matrices.items() if path.exists()}

        return run

    CLAIMS_OF_ALL = (
        {**CLAIM, "test": "change", "name": "rises", "levels": [1, 2], "smallest": 0.01},
        {**CLAIM, "test": "correlation", "name": "goes_with", "published": 0.5},
        {
            **{key: value for key, value in CLAIM.items() if key not in ("explainer", "metric")},
            **{"test": "no_loss", "name": "kept", "of": "accuracy"},
            **{"density": 0.25, "smallest": 0.9},
        },
        {"name": "pooled", "claim": "Both.", "test": "pooled", "of": ["rises", "kept"]},
    )

    def test_rows_are_those_of_their_matrices(self, run):
        output, matrices = run(list(self.CLAIMS_OF_ALL))
        frame = read("claims", output).set_index("name")
        assert frame.index.tolist() == ["rises", "goes_with", "kept", "pooled"]
        assert sorted(matrices) == ["goes_with", "kept", "rises"]
        for name, path in matrices.items():
            table = read_table(path).to_pandas()
            assert table.columns.tolist() == ["seed", "image_id", "difference"]
            matrix = table.pivot(index="seed", columns="image_id", values="difference")
            assert matrix.index.tolist() == list(self.NETWORKS)
            assert matrix.columns.tolist() == self.IDS.tolist()
            bounds = CORRELATION if name == "goes_with" else crossed([[0.0]]).bounds
            found, row = crossed(matrix.to_numpy(), bounds), frame.loc[name]
            assert row["estimate"] == pytest.approx(found.value, abs=1e-6)
            interval = found.interval(1 - row["alpha"])
            assert (row["low"], row["high"]) == pytest.approx(interval, abs=1e-5)
            assert (row["n_seeds"], row["n_images"]) == (4, 12)
            parts = row[["se_networks", "se_images", "se_residual"]].to_numpy(dtype=float)
            assert parts == pytest.approx(found.standard_errors(), abs=1e-6)

    def test_the_numbers_of_a_change(self, run):
        output, matrices = run(list(self.CLAIMS_OF_ALL[:1]))
        (row,) = read("claims", output).to_dict("records")
        wanted = [
            (self.iou[seed, 1] + self.iou[seed, 2]) / 2 - self.iou[seed, 0]
            for seed in self.NETWORKS
        ]
        table = read_table(matrices["rises"]).to_pandas()
        assert table["difference"].to_numpy() == pytest.approx(np.ravel(wanted), abs=1e-6)
        assert row["estimate"] == pytest.approx(np.mean(wanted))
        assert row["verdict"] == "supported"
        assert (row["smallest"], row["holds_from"]) == (0.01, 0)
        assert (row["empty_share"], row["look"], row["tier"]) == (0, 0, "exploratory")

    def test_the_order_of_files_does_not_matter(self, run):
        first, matrices = run(list(self.CLAIMS_OF_ALL), "first")
        bytes_before = [path.read_bytes() for path in matrices.values()]
        second, matrices = run(list(self.CLAIMS_OF_ALL), "second", step=-1)
        assert first.read_bytes() == second.read_bytes()
        assert bytes_before == [path.read_bytes() for path in matrices.values()]

    def test_looks_and_tiers(self, run):
        rises, goes_with, kept, _ = self.CLAIMS_OF_ALL
        claims = [
            {**rises, "tier": "primary"},
            {**goes_with, "tier": "secondary", "after": "rises"},
            kept,
        ]
        output, _ = run(claims, look=2, looks=[3, 4])
        frame = read("claims", output)
        assert frame["tier"].tolist() == ["primary", "secondary", "exploratory"]
        assert frame["after"].tolist() == ["", "rises", ""]
        assert set(frame["look"]) == {2}
        assert frame["alpha"].nunique() == 1
        assert frame["alpha"].iloc[0] < 0.05

    def test_copies_that_are_none(self, run, tmp_path):
        path = tmp_path / "fidelity.parquet"
        kept = {("cnn", "exact"): [1] * 9 + [0], ("cnn", "fast"): [1, 0], ("other", "exact"): [0]}
        rows = [
            {
                **{"dataset": "digits", "model": model, "pruner": "dense", "seed": 1, "level": 0},
                **{"sample_pruner": name, "family": "cam", "condition": "clean"},
                **{"image_id": image, "same_prediction": bool(same)},
            }
            for (model, name), answers in kept.items()
            for image, same in enumerate(answers)
        ]
        frame = pd.DataFrame(rows).assign(
            **{name: 0.5 for name in FIDELITY_SCHEMA.names if name not in rows[0]}
        )
        write_table(path, pa.Table.from_pandas(frame, FIDELITY_SCHEMA, preserve_index=False))
        claims = [{**self.CLAIMS_OF_ALL[0], "name": name} for name in ("one", "two", "none")]
        copies = {"one": ["exact"], "two": ["exact", "fast"]}
        output, _ = run(claims, fidelities=[path], copies=copies)
        frame = read("claims", output).set_index("name")
        assert frame["verdict"].tolist() == ["supported", "not testable here", "supported"]
        reason = "copies of fast keep the prediction in 50% of the images only"
        assert frame["verdict_reason"].tolist() == ["", reason, ""]

    def test_without_claims_there_is_an_empty_table(self, run):
        output, matrices = run([])
        assert read("claims", output).empty
        assert not matrices


def test_all_columns_of_the_table_of_claims_are_written():
    names = TABLES["claims"].names
    assert len(names) == len(set(names))
    assert {"tier", "p_equivalent", "networks_needed", "verdict_reason"} < set(names)
    assert not {"images_low", "p_for", "p_against", "p_adjusted"} & set(names)
