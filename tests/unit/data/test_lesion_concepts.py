"""Measures of lesions on figures whose answers are known on paper."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sparsight.data.sources.ham10000 import (
    CONCEPTS,
    asymmetry,
    blue_white_share,
    border_irregularity,
    colour_variance,
    measure,
    measure_files,
    relative_diameter,
    thresholds,
)

SIDE = 200
DOWN, ACROSS = np.mgrid[:SIDE, :SIDE] + 0.5 - SIDE / 2


def turned(degrees: float) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates along and across a direction."""
    cosine, sine = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    return ACROSS * cosine + DOWN * sine, DOWN * cosine - ACROSS * sine


DISC = np.hypot(ACROSS, DOWN) <= 60
SQUARE = (np.abs(ACROSS) <= 50) & (np.abs(DOWN) <= 50)


def test_a_disc_is_symmetric_and_regular() -> None:
    assert asymmetry(DISC) == 0
    assert border_irregularity(DISC) == pytest.approx(1, abs=0.01)
    assert relative_diameter(DISC) == pytest.approx(120 / SIDE, abs=0.002)
    # Elsewhere, and larger than what is seen of it.
    assert asymmetry(np.roll(DISC, (30, -40), axis=(0, 1))) == 0
    assert relative_diameter(DISC[:, 40:160]) == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("degrees", [0, 20, 45, 90, 110])
def test_figures_with_two_axes_of_symmetry(degrees: float) -> None:
    along, across = turned(degrees)
    ellipse = np.hypot(along / 80, across / 40) <= 1
    oblong = (np.abs(along) <= 70) & (np.abs(across) <= 25)
    assert asymmetry(ellipse) < 0.02
    assert asymmetry(oblong) < 0.03
    # Ramanujan's perimeter of the ellipse, to 1e-4; and of the oblong, as its corners are cut.
    assert border_irregularity(ellipse) == pytest.approx(1.189, rel=0.02)
    assert border_irregularity(oblong) == pytest.approx(380**2 / (4 * np.pi * 7000), rel=0.13)


def half_disc_asymmetry() -> float:
    """On paper: one axis is of symmetry; the other lies 4/3π of the radius from the straight edge.

    At the distance x from the former, the half disc reaches from 0 to h = √(1 - x²); mirrored at c
    it reaches from 2c - h to 2c.
    """
    x = np.linspace(-1, 1, 100_001)
    height, centre = np.sqrt(1 - x**2), 4 / (3 * np.pi)
    common = np.minimum(height, 2 * centre) - np.maximum(0, 2 * centre - height)
    return float((1 - np.trapezoid(common.clip(0), x) / (np.pi / 2)) / 2)


@pytest.mark.parametrize("degrees", [0, 30, 90, 200])
def test_a_half_disc(degrees: float) -> None:
    along, across = turned(degrees)
    mask = (np.hypot(along, across) <= 60) & (across <= 0)
    assert half_disc_asymmetry() == pytest.approx(0.0926, abs=1e-4)
    assert asymmetry(mask) == pytest.approx(half_disc_asymmetry(), abs=0.012)
    # (π + 2)² / 2π²
    assert border_irregularity(mask) == pytest.approx((np.pi + 2) ** 2 / (2 * np.pi**2), rel=0.06)


def test_ragged_and_lopsided_is_more() -> None:
    angle = np.arctan2(DOWN, ACROSS)
    star = np.hypot(ACROSS, DOWN) <= 60 + 20 * np.cos(9 * angle)
    assert border_irregularity(star) > 2 > 1.5 > border_irregularity(SQUARE)
    lopsided = DISC | ((np.abs(ACROSS - 60) <= 30) & (np.abs(DOWN - 50) <= 20))
    assert asymmetry(lopsided) > 0.08


def test_colour_variance() -> None:
    photograph = np.zeros((SIDE, SIDE, 3), np.uint8)
    photograph[~DISC] = 77
    assert colour_variance(photograph, DISC) == 0
    photograph[:, : SIDE // 2] = 255
    # Half black and half white: the variance of each channel is a quarter.
    assert colour_variance(photograph, DISC) == pytest.approx(0.25)
    photograph[..., 1:] = 9
    assert colour_variance(photograph, DISC) == pytest.approx(0.25 / 3)


@pytest.mark.parametrize(
    ("colour", "is_blue_white"),
    [
        ((100, 100, 90), True),  # 90/290 of blue, red 100 below the skin's 200
        ((100, 110, 89), False),  # 89/299 of blue
        ((149, 150, 150), False),  # red just 51 below
        ((148, 150, 150), True),
        ((6, 6, 6), True),  # red just 194 below
        ((5, 6, 6), False),
        ((0, 0, 0), False),
    ],
)
def test_blue_white_pixels(colour: tuple[int, int, int], is_blue_white: bool) -> None:
    photograph = np.full((SIDE, SIDE, 3), (200, 150, 130), np.uint8)
    photograph[DISC] = (120, 60, 30)
    assert blue_white_share(photograph, DISC) == 0
    photograph[DISC & (DOWN < 0)] = colour
    assert blue_white_share(photograph, DISC) == pytest.approx(0.5 * is_blue_white)


def test_what_cannot_be_measured() -> None:
    photograph = np.full((20, 30, 3), 9, np.uint8)
    assert np.isnan(measure(photograph, np.zeros((20, 30), np.bool_))).all()
    whole = measure(photograph, np.ones((20, 30), np.bool_))
    assert np.isfinite(whole[:4]).all()
    assert np.isnan(whole[4])
    assert len(whole) == len(CONCEPTS)
    assert all(name.startswith("derived_") for name in CONCEPTS)


def test_files_of_any_size_are_measured_alike(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    base = rng.integers(0, 256, (15, 20, 3), np.uint8).repeat(10, axis=0).repeat(10, axis=1)
    mask = (np.hypot(np.mgrid[:150, :200][1] - 90, np.mgrid[:150, :200][0] - 70) <= 50) * 255
    for name, factor in (("small", 1), ("large", 3)):
        Image.fromarray(base.repeat(factor, 0).repeat(factor, 1)).save(tmp_path / f"{name}.png")
    Image.fromarray(mask.astype(np.uint8)).save(tmp_path / "mask.png")
    photographs = [tmp_path / "small.png", tmp_path / "large.png"]
    small, large = measure_files(photographs, [tmp_path / "mask.png"] * 2)
    assert small == pytest.approx(large, rel=0.05)
    assert small[3] == pytest.approx(100 / 150, rel=0.01)


def test_thresholds() -> None:
    values = np.array([[1.0, np.nan], [2.0, np.nan], [4.0, np.nan], [np.nan, np.nan]])
    assert thresholds(values, 0.5).tolist()[0] == 2
    assert thresholds(values, 0.75)[0] == 3
    limits = thresholds(values, 0.5)
    assert np.isnan(limits[1])
    # Above, not at; and nothing that was not measured.
    assert (values > limits).tolist() == [
        [False] * 2,
        [False] * 2,
        [True, False],
        [False] * 2,
    ]
