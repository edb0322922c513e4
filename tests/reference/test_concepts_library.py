"""Concept kernels against scikit-learn and captum on equal inputs."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from captum.attr import LayerGradientXActivation
from captum.concept import TCAV, Classifier, Concept
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from torch import Tensor, nn

from sparsight.concepts.cav import Fitting, Labelled, activation_vectors
from sparsight.concepts.pcbm import ElasticNet, fit_softmax
from sparsight.concepts.tcav import positive_shares
from sparsight.explain.network import activations_and_gradients


@pytest.mark.parametrize(("strength", "l1_ratio"), [(0.01, 0.9), (2e-3, 0.99), (0.02, 0.0)])
def test_bottleneck_is_the_multinomial_elastic_net(strength: float, l1_ratio: float) -> None:
    draw = torch.Generator().manual_seed(0)
    inputs = torch.randn(300, 8, generator=draw)
    truth = torch.randn(4, 8, generator=draw) * (torch.rand(4, 8, generator=draw) < 0.5)
    labels = (inputs @ truth.T + torch.randn(300, 4, generator=draw)).argmax(dim=1)
    model = LogisticRegression(
        C=1 / (300 * strength),
        l1_ratio=l1_ratio,
        solver="saga",
        tol=1e-9,
        max_iter=100_000,
        random_state=0,
    ).fit(inputs.double().numpy(), labels.numpy())
    layer = fit_softmax(inputs, labels, 4, ElasticNet(strength, l1_ratio, 3000))
    expected = model.predict_proba(inputs.double().numpy())
    assert np.abs(layer(inputs).softmax(dim=1).numpy() - expected).max() < 1e-3
    # With little l2 norm, a shift of an input's weights in all classes may be left undecided, where
    # as many of them are positive as negative: the differences between classes are not.
    found, theirs = layer.weights.numpy(), model.coef_
    if l1_ratio > 0.95:
        found, theirs = (weights - weights.mean(axis=0) for weights in (found, theirs))
    assert np.abs(found - theirs).max() < 2e-3
    assert ((layer.weights == 0).numpy() == (np.abs(model.coef_) < 1e-7)).mean() > 0.96


@pytest.mark.parametrize("classifier", ["svm", "logistic"])
def test_vectors_are_those_of_a_pipeline(classifier: str) -> None:
    draw = torch.Generator().manual_seed(1)
    features = torch.randn(80, 5, generator=draw) * torch.tensor([1, 10, 0.1, 3, 1])
    shown = (features[:, :1] + torch.randn(80, 1, generator=draw)) > 0.5
    train = Labelled(features, shown, torch.arange(80), torch.ones_like(shown))
    fitting = Fitting(classifier, (0.3,), 0, 0.25, "test")
    concepts, _ = activation_vectors(["a"], train, train, fitting)
    if classifier == "svm":
        model: Any = SVC(C=0.3, kernel="linear", class_weight="balanced")
    else:
        model = LogisticRegression(C=0.3, class_weight="balanced", max_iter=5000)
    pipeline = make_pipeline(StandardScaler(), model)
    pipeline.fit(features.double().numpy(), shown[:, 0].numpy())
    expected = pipeline.decision_function(features.double().numpy())
    assert concepts.scores(features)[:, 0].numpy() == pytest.approx(expected, abs=2e-3)


class Curved(nn.Module):
    """Derivatives that differ between images."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.first = nn.Conv2d(1, 6, 3, padding=1)
            self.last = nn.Conv2d(6, 4, 3, padding=1)
            self.fc = nn.Linear(64, 3)

    def forward(self, images: Tensor) -> Tensor:
        return self.fc(self.last(self.first(images).tanh()).tanh().flatten(1))


class Given(Classifier):
    """Hands out vectors that are there already, in place of fitting any."""

    def __init__(self, vectors: Tensor) -> None:
        self.vectors = vectors

    def train_and_eval(self, dataloader: Any, **_: Any) -> dict[str, Tensor]:
        return {}

    def weights(self) -> Tensor:
        return self.vectors

    def classes(self) -> list[int]:
        return [0, 1]


class Images:
    """A data set of a concept, which captum reads once."""

    def __iter__(self) -> Iterator[Tensor]:
        yield torch.rand(2, 1, 4, 4)


def test_scores_are_the_sign_counts_of_captum(tmp_path: Path) -> None:
    network = Curved().eval().requires_grad_(False)
    draw = torch.Generator().manual_seed(2)
    images = torch.rand(40, 1, 4, 4, generator=draw)
    labels = torch.arange(40) % 3
    vectors = torch.randn(2, 6, generator=draw)
    _, gradients = activations_and_gradients(network, images, labels, ["first"])["first"]
    found = positive_shares(gradients.sum(dim=(2, 3)), labels, vectors, 3)
    # captum's vectors are of flat outputs: ours at every position
    flat = vectors[:, :, None].expand(2, 6, 16).reshape(2, -1)
    concepts = [Concept(k, name, Images()) for k, name in enumerate(("a", "b"))]
    for label in range(3):
        tcav = TCAV(
            network,
            ["first"],
            classifier=Given(flat),
            layer_attr_method=LayerGradientXActivation(network, None, multiply_by_inputs=False),
            save_path=str(tmp_path / str(label)),
        )
        scores = tcav.interpret(images[labels == label], [concepts], target=label)
        signs = scores["0-1"]["first"]["sign_count"]
        assert found[label].tolist() == pytest.approx(signs.tolist())
    # the case says something: the scores lie between
    assert ((found > 0) & (found < 1)).any()
