"""Metrics against quantus 0.6, and the adapter to it against calling it directly.

All tests that import quantus (some 10 s) are in this file.
"""

import inspect
import warnings

import numpy as np
import pytest
import torch
from torch import nn

from sparsight.explain.base import ImageBatch
from sparsight.explain.gradient import InputXGradient
from sparsight.explain.network import frozen
from sparsight.io.errors import InputError
from sparsight.metrics.base import MapBatch
from sparsight.metrics.complexity import effective_complexity, entropy, gini
from sparsight.metrics.localisation import (
    pixel_roc_auc,
    pointing_game,
    relevance_mass_accuracy,
    relevance_rank_accuracy,
)
from sparsight.metrics.quantus_adapter import QuantusMetric
from sparsight.metrics.registry import METRICS
from sparsight.models.base import build_network
from sparsight.models.resnet import ResNet18
from sparsight.models.thesis_cnn import ThesisCnn

quantus = pytest.importorskip("quantus")

SIDE, CLASSES, COUNT = 16, 4, 4
# What quantus 0.6 states is the wrong way round: it gives what the output loses.
DIRECTIONS = {"RegionPerturbation": "higher"}
FORMER_NAMES = {"trapz", "NaN"}
FORMER_NAMES_BEFORE = FORMER_NAMES & set(vars(np))
# Defaults of quantus take seconds an image; these take milliseconds.
SMALL = {
    "AvgSensitivity": {"nr_samples": 2},
    "FaithfulnessCorrelation": {"nr_runs": 5, "subset_size": 20},
    "FaithfulnessEstimate": {"features_in_step": 64},
    "Continuity": {"nr_steps": 2},
    "Infidelity": {"n_perturb_samples": 2, "perturb_patch_sizes": [4]},
    "LocalLipschitzEstimate": {"nr_samples": 2},
    "MaxSensitivity": {"nr_samples": 2},
    "MonotonicityCorrelation": {"nr_samples": 2, "features_in_step": 64},
    "PixelFlipping": {"features_in_step": 64},
    "ROAD": {"percentages": [10, 50]},
    "RelativeInputStability": {"nr_samples": 2},
    "RelativeOutputStability": {"nr_samples": 2},
    "RelativeRepresentationStability": {"nr_samples": 2},
    "TopKIntersection": {"k": 20},
}


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(1)
    layers = [nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(2 * 14 * 14, CLASSES)]
    return nn.Sequential(*layers).eval().requires_grad_(False)


@pytest.fixture(scope="module")
def batch(network):
    """Images, targets, maps and masks of four images."""
    generator = torch.Generator().manual_seed(2)
    images = torch.rand((COUNT, 1, SIDE, SIDE), generator=generator)
    targets = torch.tensor([0, 1, 2, 3])
    masks = torch.rand((COUNT, SIDE, SIDE), generator=generator) > 0.7
    # Of very different scales, so that a normalisation over the batch would show.
    scales = torch.tensor([1e-6, 1.0, 1e3, 1e-2])[:, None, None]
    return images, targets, gradient(network, images, targets) * scales, masks


def gradient(model, images, targets, rows=None):
    del rows
    with torch.enable_grad():
        wanted = images.clone().requires_grad_()
        score = model(wanted).gather(1, targets[:, None]).sum()
        (found,) = torch.autograd.grad(score, wanted)
    return found.sum(dim=1)


def adapted(class_name, batch, network, rows=slice(None), **parameters):
    images, targets, maps, masks = (part[rows] for part in batch)
    metric = METRICS.load(f"quantus.{class_name}")(**parameters)
    given = masks if metric.mask_rule == "binary" else None
    return metric.score(MapBatch(maps, images, targets, given, network, gradient))


def direct(class_name, batch, network, **parameters):
    """quantus called as its documentation says, one image at a time."""
    images, targets, maps, masks = (part.numpy() for part in batch)
    metric = getattr(quantus, class_name)(
        disable_warnings=True, display_progressbar=False, **parameters
    )
    values = []
    for row in range(len(images)):
        one = slice(row, row + 1)
        values += metric(
            model=network,
            x_batch=images[one].copy(),
            y_batch=targets[one].copy(),
            a_batch=maps[one, None].copy(),
            s_batch=masks[one, None].copy(),
            channel_first=True,
            device="cpu",
        )
    return torch.from_numpy(np.asarray(values, dtype=np.float32))


@pytest.mark.parametrize("seed", range(5))
def test_gini_is_quantus_sparseness(seed):
    maps = torch.randn((6, 9, 7), generator=torch.Generator().manual_seed(seed))
    batch = (torch.rand(6, 1, 9, 7), torch.zeros(6, dtype=torch.int64), maps, maps > 0)
    expected = direct("Sparseness", batch, None)
    torch.testing.assert_close(gini(maps.abs().flatten(1)).float(), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("seed", range(5))
def test_pointing_game_is_quantus_pointing_game_without_ties(seed):
    generator = torch.Generator().manual_seed(seed)
    maps = torch.rand((20, 9, 7), generator=generator)
    masks = torch.rand((20, 9, 7), generator=generator) > 0.5
    batch = (torch.rand(20, 1, 9, 7), torch.zeros(20, dtype=torch.int64), maps, masks)
    expected = direct("PointingGame", batch, None)
    assert 0 < expected.sum() < 20
    torch.testing.assert_close(pointing_game(maps, masks), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("function", "class_name"),
    [
        (relevance_mass_accuracy, "RelevanceMassAccuracy"),
        (relevance_rank_accuracy, "RelevanceRankAccuracy"),
        (pixel_roc_auc, "AUC"),
    ],
)
def test_localisation_is_that_of_quantus_without_ties(function, class_name, seed):
    generator = torch.Generator().manual_seed(seed)
    # No two pixels alike, of very different scales.
    maps = torch.randperm(20 * 63, generator=generator).view(20, 9, 7) + 1.0
    maps *= 10.0 ** torch.linspace(-9, 9, 20)[:, None, None]
    masks = torch.rand((20, 9, 7), generator=generator) > 0.5
    batch = (torch.rand(20, 1, 9, 7), torch.zeros(20, dtype=torch.int64), maps, masks)
    expected = direct(class_name, batch, None)
    torch.testing.assert_close(function(maps, masks), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("seed", range(3))
def test_complexity_is_that_of_quantus(seed):
    generator = torch.Generator().manual_seed(seed)
    maps = torch.randn((20, 9, 7), generator=generator).pow(5)
    maps[maps.abs() < 0.1] = 0
    maps *= 10.0 ** torch.linspace(-9, 9, 20)[:, None, None]
    batch = (torch.rand(20, 1, 9, 7), torch.zeros(20, dtype=torch.int64), maps, maps > 0)
    magnitudes = maps.abs().flatten(1)
    expected = direct("Complexity", batch, None)
    torch.testing.assert_close(entropy(magnitudes).float(), expected, atol=1e-5, rtol=0)
    for threshold in (1e-5, 0.1):
        counts = direct("EffectiveComplexity", batch, None, eps=threshold)
        assert 1 <= counts.min() < counts.max() < 63
        assert torch.equal(effective_complexity(magnitudes, threshold), counts)


@pytest.mark.parametrize(
    ("class_name", "parameters"),
    [
        ("Sparseness", {}),
        ("Complexity", {}),
        ("RelevanceMassAccuracy", {}),
        ("AttributionLocalisation", {"abs": True}),
        ("Selectivity", {"patch_size": 8}),
        ("RegionPerturbation", {"patch_size": 8, "regions_evaluation": 3}),
        ("PixelFlipping", {"features_in_step": 64}),
    ],
)
def test_adapter_gives_what_quantus_gives(class_name, parameters, batch, network):
    found = adapted(class_name, batch, network, **parameters)
    expected = direct(class_name, batch, network, **parameters)
    assert found.shape == expected.shape
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("class_name", sorted(QuantusMetric.foreign_facts))
def test_every_metric_runs_and_no_image_depends_on_its_batch(class_name, batch, network):
    parameters = SMALL.get(class_name, {})
    whole = adapted(class_name, batch, network, **parameters)
    assert whole.dtype == torch.float32
    assert len(whole) == COUNT
    assert whole.isfinite().any()
    backwards = adapted(class_name, batch, network, [3, 2, 1, 0], **parameters).flip(0)
    torch.testing.assert_close(whole, backwards, atol=1e-5, rtol=1e-5, equal_nan=True)
    for row in range(COUNT):
        alone = adapted(class_name, batch, network, slice(row, row + 1), **parameters)
        torch.testing.assert_close(whole[[row]], alone, atol=1e-5, rtol=1e-5, equal_nan=True)


def needs_of(quantus_class):
    """What a quantus class needs, from its category and from whether its code explains anew."""
    category = quantus_class.evaluation_category.value
    if category == "Localisation":
        return ("mask",)
    if category == "Complexity":
        return ()
    own = [base for base in quantus_class.__mro__ if issubclass(base, quantus.Metric)]
    with warnings.catch_warnings():
        # quantus has escape sequences that newer Pythons warn of when they parse it
        warnings.simplefilter("ignore")
        code = "".join(inspect.getsource(base) for base in own if base is not quantus.Metric)
    explains = "explain_batch(" in code or "assert_explain_func" in code
    return ("model", "explainer") if explains else ("model",)


def test_facts_are_those_of_quantus():
    exported = {
        item
        for item in vars(quantus).values()
        if inspect.isclass(item) and issubclass(item, quantus.Metric)
    }
    usable = {item for item in exported if item.__name__ not in QuantusMetric.foreign_refused}
    # a deprecated alias, subclass of MPRT
    usable -= {getattr(quantus, "ModelParameterRandomisation", None)}
    expected = {
        item.__name__: (
            item.evaluation_category.value.lower(),
            DIRECTIONS.get(item.__name__, item.score_direction.value),
            needs_of(item),
        )
        for item in usable
    }
    assert QuantusMetric.foreign_facts == expected
    assert METRICS.facts("quantus.AUC")["foreign_facts"] == expected


def test_instance_carries_the_facts_of_its_class():
    metric = METRICS.load("quantus.MaxSensitivity")()
    assert (metric.name, metric.category, metric.direction) == (
        "quantus.MaxSensitivity",
        "robustness",
        "lower",
    )
    assert metric.needs == ("model", "explainer")
    assert "Yeh" in metric.reference


def test_random_metric_is_seeded_by_the_image_and_leaves_generators_alone(batch, network):
    np.random.seed(5)
    torch.manual_seed(5)
    before, torch_before = np.random.get_state()[1].copy(), torch.get_rng_state()
    first = adapted("FaithfulnessCorrelation", batch, network, nr_runs=5, subset_size=20)
    assert np.array_equal(before, np.random.get_state()[1])
    assert torch.equal(torch_before, torch.get_rng_state())
    np.random.seed(6)
    again = adapted("FaithfulnessCorrelation", batch, network, nr_runs=5, subset_size=20)
    assert torch.equal(first, again)


def test_unusable_map_and_empty_mask_are_undefined_in_any_batch(batch, network):
    images, targets, maps, masks = (part.clone() for part in batch)
    maps[0], maps[1] = 0.5, -maps[1].abs() - 1
    masks[2] = False
    maps[3, 0, 0] = 1e3
    masks[3, 0, 0] = True
    values = adapted("PointingGame", (images, targets, maps, masks), network)
    assert values[:3].isnan().all()
    assert values[3] == 1
    sparseness = adapted("Sparseness", (images, targets, maps, masks), network)
    assert sparseness.isnan().tolist() == [True, True, False, False]
    curves = adapted("Selectivity", (images, targets, maps, masks), network)
    assert curves.isnan().all(dim=1).tolist() == [True, True, False, False]


def test_all_maps_unusable(batch, network):
    images, targets, maps, masks = batch
    values = adapted("Sparseness", (images, targets, torch.zeros_like(maps), masks), network)
    assert values.shape == (COUNT,)
    assert values.isnan().all()


def test_explained_rows_are_named_to_the_explainer(batch, network):
    seen = []

    def explain(model, images, targets, rows=None):
        seen.append(rows.tolist())
        return gradient(model, images, targets)

    images, targets, maps, _ = (part.clone() for part in batch)
    maps[1] = 0
    metric = METRICS.load("quantus.MPRT")()
    values = metric.score(MapBatch(maps, images, targets, None, network, explain))
    assert values.shape == (COUNT, 3)
    assert values[1].isnan().all()
    assert {tuple(set(rows)) for rows in seen} == {(0,), (2,), (3,)}


def test_constant_new_explanation_is_undefined(batch, network):
    images, targets, maps, _ = batch

    def explain(model, some, classes, rows=None):
        found = gradient(model, some, classes)
        return found * 0 if 1 in rows.tolist() else found

    values = METRICS.load("quantus.MPRT")().score(
        MapBatch(maps, images, targets, None, network, explain)
    )
    assert values.isnan().all(dim=1).tolist() == [False, True, False, False]


def test_random_logit_draws_another_class_for_each_image(network):
    seen = []

    def explain(model, some, classes, rows=None):
        seen.extend(classes.tolist())
        return gradient(model, some, classes)

    images, targets = torch.rand(24, 1, SIDE, SIDE), torch.ones(24, dtype=torch.int64)
    maps = gradient(network, images, targets)
    METRICS.load("quantus.RandomLogit")().score(
        MapBatch(maps, images, targets, None, network, explain)
    )
    assert set(seen) == {0, 2, 3}


def test_numpy_is_left_as_it_was(batch, network):
    assert adapted("IROF", batch, network).shape == (COUNT,)
    assert FORMER_NAMES & set(vars(np)) == FORMER_NAMES_BEFORE


def test_continuity_may_mark_changed_predictions(batch, network):
    parameters = {"nr_steps": 2, "return_nan_when_prediction_changes": True}
    images, _, maps, masks = batch
    targets = (network(images).argmax(1) + 1) % CLASSES
    values = adapted("Continuity", (images, targets, maps, masks), network, **parameters)
    assert values.isnan().any()


@pytest.mark.parametrize(
    "class_name",
    [name for name, facts in QuantusMetric.foreign_facts.items() if "explainer" in facts[2]],
)
def test_the_given_explainer_is_the_one_that_explains(class_name, batch, network):
    calls = []

    def explain(model, images, targets, rows=None):
        calls.append(len(images))
        return gradient(model, images, targets)

    images, targets, maps, _ = batch
    metric = METRICS.load(f"quantus.{class_name}")(**SMALL.get(class_name, {}))
    metric.score(MapBatch(maps, images, targets, None, network, explain))
    assert sum(calls) >= COUNT


def test_functions_are_named_in_the_configuration(batch, network):
    named = adapted(
        "Selectivity", batch, network, perturb_func="batch_baseline_replacement_by_indices"
    )
    assert torch.equal(named, adapted("Selectivity", batch, network))
    with pytest.raises(InputError, match=r"quantus\.Selectivity: .*indexed_axes"):
        adapted("Selectivity", batch, network, perturb_func="baseline_replacement_by_indices")
    with pytest.raises(InputError, match="did you mean 'correlation_pearson'"):
        METRICS.load("quantus.MPRT")(similarity_func="correlation_person")


@pytest.mark.parametrize("class_name", sorted(QuantusMetric.foreign_refused))
def test_refused_classes_say_why(class_name):
    with pytest.raises(InputError, match="cannot be used: "):
        METRICS.load(f"quantus.{class_name}")()


def test_unknown_class_and_parameter():
    with pytest.raises(InputError, match=r"did you mean 'Sparseness'"):
        METRICS.load("quantus.Sparsness")()
    with pytest.raises(InputError, match=r"no parameter 'patch'.*patch_size"):
        METRICS.load("quantus.Selectivity")(patch=3)
    with pytest.raises(InputError, match="no parameter 'return_aggregate'"):
        METRICS.load("quantus.Sparseness")(return_aggregate=True)


def test_what_is_needed_and_not_given(batch):
    images, targets, maps, _ = batch
    with pytest.raises(InputError, match="needs a mask"):
        METRICS.load("quantus.AUC")().score(MapBatch(maps, images, targets, None))
    with pytest.raises(InputError, match="needs a model"):
        METRICS.load("quantus.Selectivity")().score(MapBatch(maps, images, targets, None))


def test_a_wrong_setting_is_one_sentence(batch, network):
    with pytest.raises(InputError, match=r"quantus\.PixelFlipping: Set 'features_in_step'"):
        adapted("PixelFlipping", batch, network, features_in_step=7)


# Architecture, its options, and the shape of its images.
REGISTERED = {
    "thesis_cnn": (ThesisCnn, {}, (1, 28, 28)),
    "resnet18": (ResNet18, {"width": 8, "stem": "small"}, (3, 16, 16)),
}


@pytest.fixture(scope="module")
def registered():
    return {
        name: (build_network(architecture, 10, 0, options), shape)
        for name, (architecture, options, shape) in REGISTERED.items()
    }


def input_x_gradient(model, images, targets, rows=None):
    with frozen(model):
        return InputXGradient().explain(ImageBatch(model, images, targets, torch.zeros(0), "x"))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", REGISTERED)
@pytest.mark.parametrize("class_name", sorted(QuantusMetric.foreign_facts))
def test_every_offered_metric_runs_on_registered_networks(class_name, name, registered):
    model, shape = registered[name]
    parameters = dict(SMALL.get(class_name, {}))
    if "features_in_step" in parameters:
        parameters["features_in_step"] = shape[1] * shape[2] // 4
    if class_name in ("Selectivity", "RegionPerturbation"):
        parameters["patch_size"] = shape[1] // 4
    metric = METRICS.load(f"quantus.{class_name}")(**parameters)
    images = torch.rand(2, *shape, generator=torch.Generator().manual_seed(4))
    targets = torch.tensor([3, 0])
    maps = input_x_gradient(model, images, targets)
    masks = torch.zeros_like(maps, dtype=torch.bool)
    masks[:, 5:15, 4:12] = True
    given = masks if metric.mask_rule == "binary" else None
    with frozen(model):
        if shape[0] > 1 and class_name in QuantusMetric.foreign_grey_only:
            with pytest.raises(InputError, match="one channel"):
                metric.score(MapBatch(maps, images, targets, given, model, input_x_gradient))
            return
        scores = metric.score(MapBatch(maps, images, targets, given, model, input_x_gradient))
    assert len(scores) == 2
    assert scores.isfinite().any()


def planted_network():
    """Class 0 is a weighted sum of the upper left quarter, of which the others see little."""
    model = nn.Sequential(
        nn.Conv2d(1, 4, 1), nn.ReLU(), nn.Flatten(), nn.Linear(4 * SIDE * SIDE, CLASSES)
    )
    half = SIDE // 2
    weights = torch.zeros(CLASSES, 4, SIDE, SIDE)
    # Multiples of 1/64, as the pixels are: sums are exact.
    drawn = torch.randint(1, 13, (half, half), generator=torch.Generator().manual_seed(3))
    weights[0, 0, :half, :half] = drawn / 64
    for other in range(1, CLASSES):
        weights[other, 0, :half, 2 * other : 2 * other + 2] = -1 / 1024
    model.eval().requires_grad_(False)
    model[0].weight.copy_(torch.tensor([1.0, 0, 0, 0])[:, None, None, None])
    model[0].bias.fill_(0)
    model[3].weight.copy_(weights.flatten(1))
    model[3].bias.copy_(torch.tensor([0.0, 2, 2, 2]))
    return model


def contributions(model, images, targets, rows=None):
    return gradient(model, images, targets) * images[:, 0]


def drawn(model, images, targets, rows=None):
    """Another random map for whatever differs in the images, the class or the network."""
    del model, rows
    seeds = [int(one.double().sum() * 1e6) + int(k) for one, k in zip(images, targets, strict=True)]
    return torch.stack(
        [torch.rand(SIDE, SIDE, generator=torch.Generator().manual_seed(s)) for s in seeds]
    )


def shown(model, images, targets, rows=None):
    """The image, whatever the network and the class."""
    return images[:, 0]


def dense(model, images, targets, rows=None):
    return 1 + 0.1 * drawn(model, images, targets)


# Category, or class, to the better and the worse explainer.
BETTER_AND_WORSE = {
    "faithfulness": (contributions, drawn),
    "localisation": (contributions, drawn),
    "axiomatic": (contributions, drawn),
    "complexity": (contributions, dense),
    "robustness": (gradient, drawn),
    "randomisation": (contributions, shown),
    # of slopes: it multiplies by the change of a pixel itself
    "Infidelity": (gradient, drawn),
}
STEPS = {
    **SMALL,
    # Exact equality of sums in the units of the logit.
    "Completeness": {"normalise": False},
    # The mean of an image is hardly another value.
    "IROF": {"perturb_baseline": "black"},
    "FaithfulnessCorrelation": {"nr_runs": 50, "subset_size": 20},
    "FaithfulnessEstimate": {"features_in_step": 8},
    "Infidelity": {"n_perturb_samples": 5, "perturb_patch_sizes": [4]},
    "MonotonicityCorrelation": {"nr_samples": 10, "features_in_step": 8},
    "PixelFlipping": {"features_in_step": 16},
    "RegionPerturbation": {"patch_size": 4},
    "Selectivity": {"patch_size": 4},
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("class_name", sorted(QuantusMetric.foreign_facts))
def test_the_better_map_scores_better_in_the_stated_direction(class_name):
    metric = METRICS.load(f"quantus.{class_name}")(**STEPS.get(class_name, {}))
    assert metric.direction == QuantusMetric.foreign_facts[class_name][1]
    network, half, generator = planted_network(), SIDE // 2, torch.Generator().manual_seed(7)
    images = torch.randint(6, 13, (COUNT, 1, SIDE, SIDE), generator=generator) / 64
    images[:, :, :half, :half] += 0.75
    if class_name == "Completeness":
        # quantus takes an image's minimum for black.
        images[:, :, -1, -1] = 0
    targets = torch.zeros(COUNT, dtype=torch.int64)
    masks = torch.zeros(COUNT, SIDE, SIDE, dtype=torch.bool)
    masks[:, :half, :half] = True
    found = []
    for explain in BETTER_AND_WORSE.get(class_name, BETTER_AND_WORSE[metric.category]):
        maps = explain(network, images, targets)
        given = masks if metric.mask_rule == "binary" else None
        found.append(
            metric.score(MapBatch(maps, images, targets, given, network, explain)).nanmean()
        )
    better, worse = found
    assert better > worse if metric.direction == "higher" else better < worse, found
