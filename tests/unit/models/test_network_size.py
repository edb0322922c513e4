"""Sizes of a network that can be counted by hand, and one that is published."""

from sparsight.models.networks import network_size


def test_the_thesis_network_by_hand():
    found = network_size("thesis_cnn", {}, 10, (1, 28, 28))
    # 3x3 windows of 1 and of 4 channels, and 200 inputs of 10 logits
    convolutions = 4 * 26 * 26 * 9 + 8 * 11 * 11 * 36
    assert found.multiply_adds == convolutions + 200 * 10
    # convolution, ReLU and pooling, twice; the flattened maps; the logits
    first, second = 4 * (26 * 26 * 2 + 13 * 13), 8 * (11 * 11 * 2 + 5 * 5)
    assert found.elements == first + second + 200 + 10
    assert found.parameters == 2346
    assert found.features == 8


def test_resnet18_has_the_published_size():
    found = network_size("resnet18", {}, 1000, (3, 224, 224))
    # 1.814 billion multiply-adds and 11.69 million parameters (torchvision's table)
    assert round(found.multiply_adds / 1e9, 2) == 1.81
    assert round(found.parameters / 1e6, 1) == 11.7
    assert found.features == 512
