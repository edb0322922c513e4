"""Maps in 8 bits, and the pictures that hold many of them."""

import base64
import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from sparsight.atlas.sprites import ZERO, encode_map, fit_map, make_sprite, to_colours

MAPS = st.integers(0, 2**32 - 1).map(
    lambda seed: np.random.default_rng(seed).normal(size=(5, 7)).astype(np.float32)
)


def pixels_of(sprite):
    data = base64.b64decode(sprite["source"].partition(",")[2])
    return np.asarray(Image.open(io.BytesIO(data)))


@given(MAPS)
def test_bytes_lead_back_to_an_unsigned_map(values):
    coded, (low, high) = encode_map(values, signed=False)
    assert (low, high) == (values.min(), values.max())
    back = low + (high - low) * coded / 255
    assert np.abs(back - values).max() <= (high - low) / 255 / 2 + 1e-6


@given(MAPS)
def test_bytes_lead_back_to_a_signed_map(values):
    coded, (low, high) = encode_map(values, signed=True)
    reach = max(abs(low), abs(high))
    back = reach * (coded.astype(float) - ZERO) / 127
    assert np.abs(back - values).max() <= reach / 127 / 2 + 1e-6


def test_zero_has_its_own_byte_in_signed_maps():
    coded, _ = encode_map(np.array([[0.0, -1.0, 4.0]], dtype=np.float32), signed=True)
    assert coded[0, 0] == ZERO
    assert coded[0, 1] < ZERO < coded[0, 2]


def test_maps_without_contrast_and_undefined_ones_are_told_apart():
    flat = np.full((2, 2), 0.1, dtype=np.float32)
    assert encode_map(flat, signed=False)[1] == [pytest.approx(0.1)]
    # a difference of rounding is none
    assert len(encode_map(np.nextafter(flat, np.float32(1)), signed=False)[1]) == 1
    assert encode_map(np.array([[0.0, np.nan]], dtype=np.float32), signed=False)[1] == []


def test_large_maps_are_averaged_and_small_ones_kept():
    large = np.kron(np.arange(16, dtype=np.float32).reshape(4, 4), np.ones((32, 32), np.float32))
    assert fit_map(large, 64).shape == (64, 64)
    np.testing.assert_allclose(fit_map(large, 4), np.arange(16).reshape(4, 4))
    assert fit_map(large[:64, :64], 64) is not large
    assert fit_map(large[:3, :5], 64).shape == (3, 5)


def test_cells_of_a_sprite_lie_from_left_to_right_and_then_down():
    cells = np.arange(6, dtype=np.uint8)[:, None, None] * np.full((1, 2, 4096), 40, dtype=np.uint8)
    sprite = make_sprite(cells, lossless=True)
    assert (sprite["width"], sprite["height"], sprite["columns"]) == (4096, 2, 2)
    pixels = pixels_of(sprite)[..., 0]
    assert pixels.shape == (6, 8192)
    for place in range(6):
        row, column = divmod(place, 2)
        cell = pixels[2 * row : 2 * row + 2, 4096 * column : 4096 * (column + 1)]
        assert set(cell.ravel()) == {40 * place}


def test_grey_images_get_colours_and_large_ones_get_smaller():
    grey = np.arange(2 * 8 * 16, dtype=np.uint8).reshape(2, 1, 8, 16)
    np.testing.assert_array_equal(to_colours(grey, 16)[..., 2], grey[:, 0])
    assert to_colours(grey, 8).shape == (2, 4, 8, 3)
