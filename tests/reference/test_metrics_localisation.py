"""Soft IoU against a plain double loop, and its heatmaps against what pytorch-grad-cam makes."""

import cv2
import numpy as np
import pytest
import torch

from sparsight.metrics.localisation import soft_iou
from sparsight.metrics.preparation import prepare


def scaled_as_in_pytorch_grad_cam(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """`scale_cam_image` of pytorch-grad-cam 1.5.7 for one map, and the min-max after it."""
    image = image - np.min(image)
    image = image / (1e-7 + np.max(image))
    image = cv2.resize(np.float32(image), size[::-1])
    image = image - np.min(image)
    return image / (1e-7 + np.max(image))


def iou_in_a_double_loop(heatmap: np.ndarray, image: np.ndarray) -> float:
    smaller, larger = 0.0, 0.0
    for row in range(heatmap.shape[0]):
        for column in range(heatmap.shape[1]):
            smaller += min(float(heatmap[row, column]), float(image[row, column]))
            larger += max(float(heatmap[row, column]), float(image[row, column]))
    return smaller / larger


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("native", [(11, 11), (5, 5), (26, 26)])
def test_soft_iou_of_a_class_activation_map(seed, native):
    generator = torch.Generator().manual_seed(seed)
    maps = torch.rand((5, *native), generator=generator) * 10.0 ** (seed - 2)
    maps[0] = 0
    images = torch.rand((5, 28, 28), generator=generator)
    heatmaps = prepare(maps, (28, 28), "bilinear", "positive", "min_max")
    values = soft_iou(heatmaps, images)
    for row in range(5):
        expected = scaled_as_in_pytorch_grad_cam(maps[row].numpy(), (28, 28))
        np.testing.assert_allclose(heatmaps[row].numpy(), expected, atol=2e-5)
        assert values[row].item() == pytest.approx(
            iou_in_a_double_loop(expected, images[row].numpy()), abs=1e-5
        )
