"""Methods on `shapes`, where every class is a combination of three known concepts."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from sparsight.concepts.base import ConceptMethod, Findings
from sparsight.concepts.cav import Cav, ConceptPredictor
from sparsight.concepts.features import Features, extract_features
from sparsight.concepts.pcbm import Pcbm
from sparsight.concepts.registry import CONCEPTS
from sparsight.concepts.tcav import Tcav
from sparsight.data.sources.shapes import COLOURS, SUBJECTS, TEXTURES, Shapes
from sparsight.io.errors import InputError

FIGURES = {"disc", "square", "triangle", "cross"}
DEFINING = {
    name: {one.figure, one.colour, one.texture}
    for name, one in zip(Shapes.class_names(), SUBJECTS, strict=True)
}
ALL_DEFINING = FIGURES | set(COLOURS) | set(TEXTURES)

METHODS: dict[str, Callable[[], ConceptMethod]] = {
    "svm": Cav,
    "logistic": lambda: Cav(classifier="logistic", images_per_side=0),
    "predictor": lambda: ConceptPredictor(epochs=100),
    "pcbm": Pcbm,
    "pcbm_logistic": lambda: Pcbm(scores="logistic", images_per_side=0, strength=1e-3),
    "pcbm_predictor": lambda: Pcbm(scores="predictor", strength=1e-3, epochs=100, hybrid=False),
    "tcav": lambda: Tcav(layer="block"),
    "tcav_cut": Tcav,
}


@pytest.fixture(scope="module")
def found(world: Any) -> dict[str, Findings]:
    """What all methods find in the trained network."""
    return {name: method().find(world.checkpoint) for name, method in METHODS.items()}


@pytest.fixture(scope="module")
def found_untrained(world: Any) -> dict[str, Findings]:
    return {name: METHODS[name]().find(world.untrained) for name in ("svm", "pcbm", "tcav")}


def values(findings: Findings, measure: str) -> dict[Any, float]:
    """Values by concept, by class, or by both, "" for the whole."""
    rows = [row for row in findings.measured if row.measure == measure]
    return {
        (row.class_name, row.concept) if row.class_name and row.concept
        else row.class_name or row.concept: row.value
        for row in rows
    }  # fmt: skip


@pytest.mark.parametrize("name", METHODS)
def test_findings_are_complete_and_can_be_kept(
    name: str, found: dict[str, Findings], world: Any
) -> None:
    method, findings = METHODS[name](), found[name]
    assert {row.measure for row in findings.measured} == set(method.measures)
    compared = method.compare(findings, findings)
    assert {row.measure for row in compared} == set(method.comparisons)
    assert CONCEPTS.load(method.name) is type(method)
    for array in findings.arrays.values():
        assert array.dtype in (torch.float32, torch.float64, torch.int64)
        assert array.device.type == "cpu"
    concepts = findings.texts["concepts"]
    assert list(concepts) == [name for name in Shapes.concept_names if name != "cue"]
    assert any("dropped: cue" in note for note in findings.notes)
    by_class: dict[str, list[Any]] = {}
    for row in findings.ranked:
        by_class.setdefault(row.class_name, []).append(row)
    for rows in by_class.values():
        assert [row.rank for row in rows] == list(range(1, len(rows) + 1))
        weights = [row.weight for row in rows]
        assert weights == sorted(weights, reverse=True)


def test_defining_concepts_are_found_in_images_that_were_not_seen(
    found: dict[str, Findings],
) -> None:
    for name in ("svm", "logistic", "predictor"):
        accuracy = values(found[name], "concept_accuracy")
        balanced = values(found[name], "concept_balanced_accuracy")
        assert min(accuracy[concept] for concept in ALL_DEFINING) > 0.85, name
        assert min(balanced[concept] for concept in ALL_DEFINING) > 0.8, name
        # the class does not depend on distractors, so the network need not see them
        assert balanced["distractor"] < 0.75
        assert found[name].ranked[-1].concept == "distractor"
    colours = values(found["svm"], "concept_balanced_accuracy")
    assert min(colours[colour] for colour in COLOURS) > 0.97


def test_an_untrained_network_knows_fewer_concepts(
    found: dict[str, Findings], found_untrained: dict[str, Findings]
) -> None:
    trained, untrained = (
        values(findings["svm"], "concept_balanced_accuracy")[""]
        for findings in (found, found_untrained)
    )
    assert trained > untrained + 0.05
    rows = {
        (row.measure, row.concept): row.value
        for row in Cav().compare(found["svm"], found_untrained["svm"])
    }
    assert rows["feature_cka", ""] < 0.6
    assert rows["margin_correlation", "disc"] < 0.8
    same = {row.value for row in Cav().compare(found["svm"], found["svm"])}
    assert min(same) == pytest.approx(1.0)


def test_margins_are_those_of_the_stored_vectors(found: dict[str, Findings], world: Any) -> None:
    arrays = found["svm"].arrays
    test = world.checkpoint.features.split("test")
    lengths = arrays["vectors"].norm(dim=1)
    expected = (test.pooled @ arrays["vectors"].T + arrays["intercepts"]) / lengths
    assert torch.allclose(arrays["margins"], expected, atol=1e-4)
    assert torch.equal(arrays["image_ids"], test.image_ids)
    assert len(arrays["features"]) == world.checkpoint.images


@pytest.mark.parametrize("name", ["pcbm", "pcbm_logistic", "pcbm_predictor"])
def test_the_bottleneck_puts_the_defining_concepts_on_top(
    name: str, found: dict[str, Findings]
) -> None:
    findings = found[name]
    shares = []
    for class_name, defining in DEFINING.items():
        # where few scores were needed, none of the others has a positive weight
        top = [row.concept for row in findings.ranked if row.class_name == class_name][:3]
        shares.append(len(defining & set(top)) / len(top))
        if name != "pcbm_predictor":
            assert top[0] in defining
    assert sum(shares) / len(shares) > 0.75
    measured = {row.measure: row.value for row in findings.measured}
    assert measured["network_accuracy"] > 0.9
    assert measured["bottleneck_accuracy"] > measured["network_accuracy"] - 0.06
    gap = measured["bottleneck_accuracy"] - measured["network_accuracy"]
    assert measured["accuracy_gap"] == pytest.approx(gap)
    assert measured["completeness"] == pytest.approx(
        (measured["bottleneck_accuracy"] - 0.125) / (measured["network_accuracy"] - 0.125)
    )
    assert measured["agreement"] > 0.9


def test_stored_parts_of_the_bottleneck_give_its_logits(
    found: dict[str, Findings], world: Any
) -> None:
    for name in ("pcbm", "pcbm_predictor"):
        arrays = found[name].arrays
        logits = arrays["scores"] @ arrays["weights"].T + arrays["biases"]
        assert torch.allclose(logits, arrays["logits"], atol=1e-3)
    arrays = found["pcbm"].arrays
    scores = (arrays["margins"] - arrays["means"]) / arrays["deviations"]
    assert torch.allclose(scores, arrays["scores"], atol=1e-3)
    # at the optimum the probabilities of the training images add up to the classes' sizes
    train = world.checkpoint.features.split("train").pooled
    lengths = arrays["vectors"].norm(dim=1)
    margins = (train @ arrays["vectors"].T + arrays["intercepts"]) / lengths
    scores = (margins - arrays["means"]) / arrays["deviations"]
    sizes = (scores @ arrays["weights"].T + arrays["biases"]).softmax(dim=1).mean(dim=0)
    assert torch.allclose(sizes, torch.full((8,), 1 / 8), atol=1e-3)
    row = next(row for row in found["pcbm"].ranked if row.class_name == Shapes.class_names()[5])
    column = list(found["pcbm"].texts["concepts"]).index(row.concept)
    assert row.weight == pytest.approx(arrays["weights"][5, column].item())
    # labels go round with the ids
    members = arrays["scores"][5::8, column]
    assert row.value == pytest.approx(members.mean().item(), abs=1e-4)


def test_a_residual_makes_good_what_the_concepts_lack(
    found_untrained: dict[str, Findings], world: Any
) -> None:
    """Without its colours the bottleneck cannot tell classes apart that differ in nothing else."""
    measured = {row.measure: row.value for row in found_untrained["pcbm"].measured}
    # the network was not trained and is near chance, g and the residual were
    assert measured["network_accuracy"] < 0.225
    assert measured["completeness"] != measured["completeness"]
    assert measured["hybrid_accuracy"] > measured["bottleneck_accuracy"]


def test_orders_of_another_network_overlap_less(
    found: dict[str, Findings], found_untrained: dict[str, Findings]
) -> None:
    rows = Pcbm().compare(found["pcbm"], found_untrained["pcbm"])
    whole = {row.measure: row.value for row in rows if not row.class_name and not row.concept}
    for measure in ("top3_jaccard", "top5_jaccard", "rank_biased_overlap", "margin_correlation"):
        assert 0 < whole[measure] < 0.9
    assert {row.class_name for row in rows} == {"", *Shapes.class_names()}


def test_quality_of_concepts_stands_beside_the_bottleneck(found: dict[str, Findings]) -> None:
    # the same vectors, the same test images
    for measure in ("concept_accuracy", "concept_balanced_accuracy"):
        for bottleneck, alone in (
            ("pcbm", "svm"),
            ("pcbm_logistic", "logistic"),
            ("pcbm_predictor", "predictor"),
        ):
            assert set(values(found[bottleneck], measure)) == {""}
            assert values(found[bottleneck], measure)[""] == values(found[alone], measure)[""]
        assert values(found["pcbm"], measure)[""] > 0.7
    assert values(found["pcbm_logistic"], "converged") == {"": 1.0}


def test_a_bottleneck_without_test_images_that_did_not_converge(world: Any) -> None:
    bank = {split: path for split, path in world.checkpoint.bank.items() if split != "test"}
    found = Pcbm(iterations=1).find(replace(world.checkpoint, bank=bank))
    for measure in ("concept_accuracy", "concept_balanced_accuracy"):
        assert math.isnan(values(found, measure)[""])
    assert values(found, "converged") == {"": 0.0}
    assert {row.measure for row in found.measured} == set(Pcbm.measures)


def test_a_class_rises_with_its_own_concepts(found: dict[str, Findings]) -> None:
    for name in ("tcav", "tcav_cut"):
        scores, effects = (values(found[name], m) for m in ("tcav_score", "effect_size"))
        adjusted = values(found[name], "adjusted_p")
        random = values(found[name], "random_score")
        for class_name, defining in DEFINING.items():
            for concept in defining:
                pair = class_name, concept
                assert scores[pair] > 0.8, (name, pair)
                assert effects[pair] > 0.5, (name, pair)
                assert adjusted[pair] < 0.05, (name, pair)
            other_colours = set(COLOURS) - defining
            of_others = [scores[class_name, colour] for colour in other_colours]
            assert sum(of_others) / len(of_others) < 0.5
        # random concepts show no side
        assert 0.3 < sum(random.values()) / len(random) < 0.7
    # nothing but the mean and a linear layer follows the cut: all images of a class say the same
    draws = found["tcav_cut"].arrays["scores"]
    assert set(draws.unique().tolist()) == {0.0, 1.0}
    assert len(found["tcav"].arrays["scores"].unique()) > 2


def test_passes_are_counted(found: dict[str, Findings], world: Any) -> None:
    seen = []
    handle = world.checkpoint.network.register_forward_hook(
        lambda _module, inputs, _output: seen.append(len(inputs[0]))
    )
    Tcav(layer="block", draws=2).find(world.checkpoint)
    handle.remove()
    # 1600 images of the bank and 200 of the test split, the latter also backwards
    assert sum(seen) == 1800
    assert found["tcav"].passes == 1600 + 3 * 200
    assert found["tcav_cut"].passes == 3 * 200
    assert all(found[name].passes == 0 for name in METHODS if not name.startswith("tcav"))


def test_scores_change_with_the_network(
    found: dict[str, Findings], found_untrained: dict[str, Findings]
) -> None:
    rows = Tcav().compare(found_untrained["tcav"], found["tcav"])
    whole = {row.measure: row.value for row in rows if not row.class_name}
    assert whole["tcav_change"] > 0.15
    assert 0.2 < whole["tcav_side_agreement"] < 1
    same = {
        row.measure: row.value
        for row in Tcav().compare(found["tcav"], found["tcav"])
        if not row.class_name
    }
    assert same == {"tcav_change": 0.0, "tcav_side_agreement": 1.0}


def test_the_batch_size_does_not_matter(found: dict[str, Findings], world: Any) -> None:
    again = METHODS["tcav"]().find(replace(world.checkpoint, batch_size=7))
    for name in ("scores", "random"):
        assert torch.allclose(again.arrays[name], found["tcav"].arrays[name], atol=0.041)
    assert METHODS["pcbm"]().find(world.checkpoint).ranked == found["pcbm"].ranked


def test_concepts_of_another_bank(world: Any, tmp_path: Path) -> None:
    """A bank of its own: here the validation images, as training and as test split."""
    checkpoint = world.checkpoint
    bank = {
        "train": renamed(checkpoint.splits["validation"], tmp_path / "train.safetensors"),
        "test": renamed(checkpoint.splits["validation"], tmp_path / "test.safetensors"),
    }
    path = tmp_path / "features.safetensors"
    extract_features(checkpoint.network, checkpoint.splits, bank, path, 128, checkpoint.device)
    with Features(path) as features:
        foreign = replace(checkpoint, features=features, bank=bank)
        findings = Pcbm(hybrid=False, strength=1e-3).find(foreign)
        cav = Cav().find(foreign)
        # features and files that do not belong together are noticed
        with pytest.raises(InputError, match="hold other images"):
            Cav().find(replace(foreign, bank={**bank, "train": checkpoint.splits["train"]}))
    measured = {row.measure: row.value for row in findings.measured}
    assert measured["bottleneck_accuracy"] > 0.8
    # scores are of the network's own images, accuracies of the bank's
    assert len(findings.arrays["margins"]) == 400
    assert torch.equal(findings.arrays["image_ids"], checkpoint.features.split("test").image_ids)
    assert values(cav, "concept_balanced_accuracy")["red"] > 0.97


def renamed(source: Path, target: Path) -> Path:
    target.write_bytes(source.read_bytes())
    return target


def test_a_bank_without_test_images_cannot_be_measured(world: Any) -> None:
    bank = {"train": world.checkpoint.splits["train"]}
    with pytest.raises(InputError, match="no test images"):
        Cav().find(replace(world.checkpoint, bank=bank))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: Pcbm(scores="forest"),
            "scores is .*, but must be one of svm, logistic",
        ),
        (lambda: Pcbm(persistence=1.0), "persistence is 1.0, but must be"),
        (lambda: Tcav(draws=1), "draws is .*, but must be at least 2"),
        (lambda: Tcav(classifier="predictor"), "classifier is .*, but must be one of"),
        (lambda: Cav(classifier_="svm"), "unknown parameter 'classifier_'"),
    ],
)
def test_settings_that_cannot_be_used_are_refused(
    make: Callable[[], ConceptMethod], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        make()


def test_a_layer_that_is_not_there_is_named(world: Any) -> None:
    with pytest.raises(InputError, match="no layer 'blok'"):
        Tcav(layer="blok", draws=2).find(world.checkpoint)
