"""Learning from a teacher: the losses against hand calculation, and what is learnt."""

import copy
import math
from dataclasses import replace

import pytest
import torch
from sklearn.datasets import load_digits
from torch.nn import functional

from sparsight.models.base import build_network
from sparsight.models.resnet import ResNet18
from sparsight.models.thesis_cnn import ThesisCnn
from sparsight.pruning.criteria import Magnitude
from sparsight.pruning.masks import Step, dense_masks, next_masks
from sparsight.pruning.observation import Observation
from sparsight.training.distillation import (
    Distillation,
    Teacher,
    attention_loss,
    logit_loss,
    maps_of,
)
from sparsight.training.loop import Recipe, Stream, TrainingData, train

RECIPE = Recipe(
    epochs=4,
    batch_size=16,
    optimiser={"name": "sgd", "learning_rate": 0.02, "momentum": 0.9},
    noise=True,
)


def test_logits_by_hand() -> None:
    """Two classes, T = 2: the teacher says 3:1, the student 1:1."""
    teacher = torch.tensor([[2 * math.log(3), 0.0], [0.0, 0.0]])
    student = torch.zeros(2, 2)
    divergence = 0.75 * math.log(0.75 / 0.5) + 0.25 * math.log(0.25 / 0.5)
    found = logit_loss(student, teacher, 2)
    assert found.item() == pytest.approx(4 * (divergence + 0) / 2, rel=1e-6)


@pytest.mark.parametrize("temperature", [1.0, 4.0, 20.0])
def test_gradient_of_the_logits(temperature: float) -> None:
    """T (softmax(z / T) - softmax(v / T)) / N: equation 2 of arXiv 1503.02531, times T^2."""
    draw = torch.Generator().manual_seed(0)
    teacher, student = (3 * torch.randn(5, 4, generator=draw) for _ in range(2))
    student.requires_grad_()
    logit_loss(student, teacher, temperature).backward()
    soft = [(logits / temperature).softmax(1) for logits in (student.detach(), teacher)]
    assert student.grad is not None
    assert torch.allclose(student.grad, temperature * (soft[0] - soft[1]) / 5, atol=1e-6)


def test_attention_by_hand() -> None:
    """Squares are summed over channels and scaled to length 1: (3, 4) / 5 against (0, 1)."""
    student = torch.tensor([math.sqrt(1.0), -math.sqrt(2.0)]).view(1, 2, 1, 1)
    student = torch.cat([student, torch.tensor([-2.0, 0.0]).view(1, 2, 1, 1)], dim=3)
    teacher = torch.tensor([0.0, 7.0]).view(1, 1, 1, 2)
    assert attention_loss(student, teacher).item() == pytest.approx(0.6**2 + 0.2**2, rel=1e-6)
    assert attention_loss(student, -5 * student).item() == pytest.approx(0, abs=1e-12)
    assert attention_loss(torch.zeros_like(teacher), teacher).item() == pytest.approx(1)
    assert attention_loss(torch.zeros_like(teacher), torch.zeros_like(teacher)).item() == 0


def test_a_batch_is_weighed() -> None:
    draw = torch.Generator().manual_seed(1)
    told, said = torch.randn(2, 6, 3, generator=draw)
    shown, seen = torch.randn(2, 6, 2, 4, 4, generator=draw)
    labels = torch.tensor(1.25)

    def loss(**facts: float) -> float:
        teacher = Teacher(ThesisCnn(), Distillation(**facts))
        return teacher.loss(labels, (said, seen), (told, shown)).item()

    taught, looked = logit_loss(said, told, 3).item(), attention_loss(seen, shown).item()
    assert loss(logits=0.25, temperature=3) == pytest.approx(0.75 * 1.25 + 0.25 * taught)
    assert loss(logits=0, attention=10) == pytest.approx(1.25 + 10 * looked)
    both = 0.75 * 1.25 + 0.25 * taught + 2 * looked
    assert loss(logits=0.25, temperature=3, attention=2) == pytest.approx(both)
    assert (taught, looked) > (0.01, 0.01)


def test_a_perfect_student_has_nothing_to_learn(data: TrainingData) -> None:
    """With weight 1 on the teacher and the teacher's own weights, no gradient is left."""
    student = build_network(ThesisCnn, 4, 0)
    before = copy.deepcopy(student.state_dict())
    teacher = Teacher(copy.deepcopy(student), Distillation(logits=1, attention=10))
    outcome = train(
        student, data, replace(RECIPE, epochs=1), Stream(0, "s"), masks={}, teacher=teacher
    )
    assert outcome.history[0]["loss"] == pytest.approx(0, abs=1e-6)
    for name, value in student.state_dict().items():
        assert torch.allclose(value, before[name], atol=1e-6), name


@pytest.fixture(scope="module")
def digits() -> tuple[TrainingData, torch.Tensor]:
    """500 handwritten digits to learn from, and 500 other images."""
    pixels, labels = load_digits(return_X_y=True)
    images = torch.from_numpy(pixels[:1000] * 15).to(torch.uint8).view(-1, 1, 8, 8)
    images = functional.pad(images.repeat_interleave(3, 2).repeat_interleave(3, 3), (2, 2, 2, 2))
    learnt = TrainingData(images[:500], torch.from_numpy(labels[:500]).long(), 0)
    return learnt, images[500:].float() / 255


def test_a_pruned_network_comes_nearer_to_its_teacher(
    digits: tuple[TrainingData, torch.Tensor],
) -> None:
    """A tenth of the weights is left: predictions and attention on images that neither has seen."""
    data, unseen = digits
    plan = replace(RECIPE, batch_size=32, noise=False, epochs=6)
    dense = build_network(ThesisCnn, 10, 0)
    train(dense, data, plan, Stream(0, "dense/level00"), masks={})
    before = copy.deepcopy(dense.state_dict())
    weights = {name: dense.get_parameter(name).detach() for name in dense_masks(dense)}
    scores = Magnitude().scores(Observation(weights, 0))
    masks = next_masks(scores, dense_masks(dense), Step(rate=0.9), "global")

    def distances(facts: Distillation | None) -> tuple[float, float]:
        """Of logits and of attention maps, after retraining from the initialisation."""
        pruned = build_network(ThesisCnn, 10, 0)
        with torch.no_grad():
            for name, mask in masks.items():
                pruned.get_parameter(name).mul_(mask)
        teacher = Teacher(dense, facts) if facts else None
        train(pruned, data, plan, Stream(0, "p/level01"), masks=masks, teacher=teacher)
        with torch.no_grad(), maps_of(pruned) as seen, maps_of(dense) as shown:
            logits = logit_loss(pruned(unseen), dense(unseen), 4).item()
        return logits, attention_loss(seen[0], shown[0]).item()

    alone = distances(None)
    assert distances(Distillation(logits=0.9))[0] < 0.8 * alone[0]
    assert distances(Distillation(logits=0, attention=10))[1] < 0.5 * alone[1]
    assert all(torch.equal(value, before[name]) for name, value in dense.state_dict().items())


def test_a_teacher_keeps_its_statistics_and_takes_the_student_s_layout() -> None:
    """Batch normalisation of the teacher predicts; images come with the channels innermost."""
    draw = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (32, 3, 16, 16), dtype=torch.uint8, generator=draw)
    data = TrainingData(images, torch.arange(32) % 2, 0)
    first, second = (build_network(ResNet18, 2, seed, {"width": 8}) for seed in (0, 1))
    before, innermost = copy.deepcopy(first.state_dict()), []
    first.get_submodule("layer4").register_forward_hook(
        lambda _module, _inputs, output: innermost.append(
            output.is_contiguous(memory_format=torch.channels_last)
        )
    )
    teacher = Teacher(first, Distillation(attention=1))
    train(
        second,
        data,
        replace(RECIPE, epochs=1, noise=False),
        Stream(0, "s"),
        masks={},
        teacher=teacher,
    )
    assert innermost == [True] * 2
    assert all(torch.equal(value, before[key]) for key, value in first.state_dict().items())
