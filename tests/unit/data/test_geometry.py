"""Coverage of pixels: areas worked out on paper, and every size the same picture."""

import math

import numpy as np
import pytest

from sparsight.data.geometry import (
    CANVAS,
    FIGURES,
    Window,
    arms,
    corners,
    coverage,
    fine,
    inside,
    spots,
    stripes,
)

# In units of the size squared.
AREAS = {
    "disc": math.pi,
    "square": (2 * 7 / 8) ** 2,
    # An equilateral triangle with the inner radius 11/16: 3√3 r².
    "triangle": 3 * math.sqrt(3) * (11 / 16) ** 2,
    "cross": 2 * (2 * 9 / 8) * (2 * 3 / 8) - (2 * 3 / 8) ** 2,
}


def cover(figure: str, side: int, size: int, direction: tuple[int, int], rim: int = 0):
    window = Window(side, 0, side, 0, side)
    u, v = window.coordinates(CANVAS // 2, CANVAS // 2, direction)
    measures = (fine(length, side, direction) for length in (size, rim))
    return coverage(inside(figure, u, v, *measures))


@pytest.mark.parametrize("figure", FIGURES)
@pytest.mark.parametrize("direction", [(1, 0), (256, 77), (256, -96)])
@pytest.mark.parametrize(("side", "precision"), [(64, 0.02), (100, 0.02), (400, 0.005)])
def test_areas(figure: str, direction: tuple[int, int], side: int, precision: float) -> None:
    size = 128
    found = cover(figure, side, size, direction).sum() / 16 * (CANVAS / side) ** 2
    assert found == pytest.approx(AREAS[figure] * size**2, rel=precision)


def test_a_square_by_hand() -> None:
    """Half a side of 7/8 · 32 = 28 units, 3.5 pixels of 8, about the middle of 16 pixels."""
    found = cover("square", 64, 32, (1, 0))
    expected = np.zeros((64, 64), int)
    expected[28:36, 28:36] = 8
    expected[29:35, 29:35] = 16
    for row in (28, 35):
        for column in (28, 35):
            expected[row, column] = 4
    assert found.tolist() == expected.tolist()
    # Half of a pixel less on each side.
    assert cover("square", 64, 32, (1, 0), rim=4).sum() == 16 * 36


def test_a_turn_moves_nothing_but_the_axes() -> None:
    for figure in ("disc", "square", "cross"):
        quarter = cover(figure, 64, 100, (0, 1))
        assert (quarter == cover(figure, 64, 100, (1, 0))).all(), figure
    upright = cover("triangle", 64, 100, (1, 0)).astype(int)
    # Wider at the bottom, and alike on both sides.
    assert upright[40].sum() > upright[25].sum() > 0
    assert (upright == upright[:, ::-1]).all()


def test_a_finer_image_is_the_same_picture() -> None:
    coarse = cover("triangle", 64, 120, (256, 50)) / 16
    sharp = cover("triangle", 256, 120, (256, 50)) / 16
    averaged = sharp.reshape(64, 4, 64, 4).mean(axis=(1, 3))
    assert np.abs(coarse - averaged).mean() < 0.002
    assert np.abs(coarse - averaged).max() < 0.3


def test_a_window_holds_all_that_it_should() -> None:
    for side, x, y, reach in ((64, 100, 400, 90), (50, 10, 500, 60), (33, 256, 256, 256)):
        window = Window.around(side, x, y, reach)
        u, v = Window(side, 0, side, 0, side).coordinates(x, y, (1, 0))
        near = coverage((u * u + v * v) <= fine(reach, side, (1, 0)) ** 2)
        outside = near.copy()
        outside[window.pixels] = 0
        assert near.sum() > 0
        assert outside.sum() == 0
        part = window.coordinates(x, y, (1, 0))[0]
        rows, columns = window.pixels
        assert (
            part == u[4 * rows.start : 4 * rows.stop, 4 * columns.start : 4 * columns.stop]
        ).all()


def test_corners_and_arms() -> None:
    window = Window(64, 0, 64, 0, 64)
    u, v = window.coordinates(256, 256, (1, 0))
    size = fine(160, 64, (1, 0))
    for figure, count in (("square", 4), ("triangle", 3), ("disc", 0), ("cross", 0)):
        found = corners(figure, u, v, size) & inside(figure, u, v, size, 0)
        assert islands(coverage(found) > 8) == count, figure
    for figure, count in (("cross", 4), ("square", 0)):
        found = arms(figure, u, v, size) & inside(figure, u, v, size, 0)
        assert islands(coverage(found) > 8) == count, figure


def islands(mask: np.ndarray) -> int:
    from scipy.ndimage import label

    return int(label(mask)[1])


def test_textures_cover_their_share() -> None:
    u, v = Window(64, 0, 64, 0, 64).coordinates(0, 0, (1, 0))
    period = fine(64, 64, (1, 0))
    assert stripes(u, period, 5).mean() == pytest.approx(0.5, abs=0.01)
    assert spots(u, v, period, 5).mean() == pytest.approx(math.pi * (5 / 16) ** 2, abs=0.01)


def test_coverage_counts_samples() -> None:
    samples = np.random.default_rng(0).random((2, 12, 20)) < 0.5
    expected = samples.reshape(2, 3, 4, 5, 4).sum(axis=(2, 4))
    assert coverage(samples).tolist() == expected.tolist()
    assert coverage(np.ones((4, 4), np.bool_)).tolist() == [[16]]
