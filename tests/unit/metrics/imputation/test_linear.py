"""The batched imputation: on paper, against a sparse direct solve, and its independence."""

import base64

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter
from scipy.sparse import csc_matrix
from scipy.sparse.linalg import spsolve

from sparsight.io.errors import InputError
from sparsight.metrics import imputation
from sparsight.metrics.imputation import TOLERANCE, linear_imputation

SHARES = [0.01, 0.11, 0.51, 0.91, 0.99]
KINDS = ["scattered", "fine", "blobs", "middle", "rim", "one_side", "stripes", "lattice"]


def solved_directly(image, removed):
    """[C, H, W] in float64, by the definition: sums over the neighbours that exist."""
    height, width = removed.shape
    number = np.full(removed.shape, -1)
    number[removed] = np.arange(removed.sum())
    rows, columns = np.nonzero(removed)
    own, total = number[rows, columns], np.zeros(len(rows))
    right = np.zeros((len(rows), len(image)))
    entries = []
    for down in (-1, 0, 1):
        for across in (-1, 0, 1):
            if (down, across) == (0, 0):
                continue
            weight = 1 / 12 if down and across else 1 / 6
            there, beside = rows + down, columns + across
            exists = (there >= 0) & (there < height) & (beside >= 0) & (beside < width)
            there, beside, mine = there[exists], beside[exists], own[exists]
            total[mine] += weight
            other = number[there, beside]
            known = other < 0
            right[mine[known]] += weight * image[:, there[known], beside[known]].T
            entries.append((mine[~known], other[~known], np.full((~known).sum(), -weight)))
    entries.append((own, own, total))
    i, j, values = (np.concatenate(part) for part in zip(*entries, strict=True))
    found = image.astype(np.float64)
    solution = spsolve(csc_matrix((values, (i, j))), right)
    found[:, removed] = solution.reshape(len(rows), -1).T
    return found


def masks_of(kind, shares, height, width, seed=0):
    """Bool [shares, H, W], nested, of the share's highest pixels of a map of that kind."""
    draw = np.random.default_rng(seed)
    rows, columns = np.mgrid[:height, :width]
    middle = np.hypot(rows - 0.47 * height, columns - 0.53 * width)
    values = {
        "scattered": draw.random((height, width)),
        "fine": gaussian_filter(draw.random((height, width)), 1.5),
        "blobs": gaussian_filter(draw.random((height, width)), max(height, width) / 14),
        "middle": -middle,
        "rim": middle,
        "one_side": -columns * 1000.0 - rows,
        "stripes": (columns % 8) * 1000.0 + rows,
        "lattice": ((rows % 5) * 5 + columns % 5) * 1000.0 + draw.random((height, width)),
    }[kind]
    order = np.argsort(-values, axis=None, kind="stable")
    masks = np.zeros((len(shares), height * width), dtype=bool)
    for mask, share in zip(masks, shares, strict=True):
        mask[order[: min(max(1, round(share * mask.size)), mask.size - 1)]] = True
    return masks.reshape(-1, height, width)


def image_of(channels, height, width, seed=0, smooth=1.0):
    draw = np.random.default_rng(100 + seed)
    image = gaussian_filter(draw.random((channels, height, width)), (0, smooth, smooth))
    low, high = image.min(), image.max()
    return ((image - low) / (high - low)).astype(np.float32)


def check(image, masks, found):
    """Relative error of each channel and mask, and equality of what is known."""
    for removed, imputed in zip(masks, found.numpy(), strict=True):
        expected = solved_directly(image, removed)
        np.testing.assert_array_equal(imputed[:, ~removed], image[:, ~removed])
        error = np.linalg.norm((imputed - expected)[:, removed], axis=1)
        size = np.linalg.norm(expected[:, removed], axis=1)
        least = 0.01 * np.abs(image).max(axis=(1, 2)) * np.sqrt(removed.sum())
        assert (error <= TOLERANCE * np.maximum(size, least)).all(), error / size
        # No single pixel is far off either: half a grey level.
        assert np.abs(imputed - expected).max() <= 2e-3


def imputed(image, masks):
    return linear_imputation(torch.from_numpy(image)[None], torch.from_numpy(masks)[None])[0]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [(64, 64), (37, 50)])
def test_a_sparse_direct_solve(kind, size):
    image, masks = image_of(3, *size), masks_of(kind, SHARES, *size)
    check(image, masks, imputed(image, masks))


@pytest.mark.parametrize("kind", ["fine", "blobs"])
def test_a_sparse_direct_solve_of_224_pixels(kind):
    image, masks = image_of(1, 224, 224, smooth=3), masks_of(kind, [0.91], 224, 224)
    check(image, masks, imputed(image, masks))


@given(
    st.integers(1, 40),
    st.integers(1, 40),
    st.sampled_from(KINDS),
    st.floats(0.01, 0.99),
    st.integers(0, 1000),
    st.sampled_from([0.0, 2.0]),
)
@settings(max_examples=60, deadline=None, derandomize=True)
def test_a_sparse_direct_solve_of_any_size(height, width, kind, share, seed, smooth):
    if height * width < 4:
        height, width = 2, 2
    image = image_of(2, height, width, seed, smooth)
    masks = masks_of(kind, [share], height, width, seed)
    check(image, masks, imputed(image, masks))


@pytest.mark.parametrize("upright", [False, True])
def test_a_strip_is_interpolated_linearly(upright):
    # Left and right neighbours are all there are: each weighs 1/2, and values between 1 and 5 rise
    # evenly; beyond the last known pixel nothing changes any more.
    strip = np.array([1, 9, 9, 9, 5, 9, 9], dtype=np.float32) / 10
    removed = strip == np.float32(0.9)
    image = strip[None, :, None] if upright else strip[None, None, :]
    found = imputed(image, removed.reshape(1, *image.shape[1:]))
    expected = [0.1, 0.2, 0.3, 0.4, 0.5, 0.5, 0.5]
    np.testing.assert_allclose(found.flatten().numpy(), expected, atol=2e-5)


def test_one_pixel_is_the_weighted_mean_of_its_neighbours_at_the_border_too():
    image = np.arange(1, 10, dtype=np.float32).reshape(1, 3, 3) / 10
    masks = np.zeros((3, 3, 3), dtype=bool)
    masks[0, 1, 1] = masks[1, 0, 0] = masks[2, 0, 1] = True
    found = imputed(image, masks)[:, 0]
    # 2, 4, 6 and 8 weigh 1/6, 1, 3, 7 and 9 weigh 1/12.
    assert found[0, 1, 1].item() == pytest.approx(0.5, abs=1e-6)
    # 2 and 4 weigh 2, 5 weighs 1: 17 / 5.
    assert found[1, 0, 0].item() == pytest.approx(0.34, abs=1e-6)
    # 1, 3 and 5 weigh 2, 4 and 6 weigh 1: 28 / 8.
    assert found[2, 0, 1].item() == pytest.approx(0.35, abs=1e-6)


def test_a_constant_image_stays_constant():
    image = np.full((3, 30, 31), 0.37, dtype=np.float32)
    found = imputed(image, masks_of("fine", SHARES, 30, 31))
    np.testing.assert_allclose(found.numpy(), 0.37, atol=1e-6)


def test_a_ramp_inside_is_reproduced():
    # The weights are symmetric: a plane is the mean of its surroundings, where all of them exist.
    rows, columns = np.mgrid[:40, :40]
    image = ((rows + 2 * columns) / 120).astype(np.float32)[None]
    removed = np.zeros((1, 40, 40), dtype=bool)
    removed[0, 5:33, 1:39] = True
    np.testing.assert_allclose(imputed(image, removed)[0].numpy(), image, atol=3e-4)


def test_nothing_removed_is_the_image_itself():
    image = image_of(3, 19, 24)
    found = imputed(image, np.zeros((2, 19, 24), dtype=bool))
    np.testing.assert_array_equal(found.numpy(), np.stack([image, image]))


def test_everything_removed_is_an_error():
    images, removed = torch.rand(2, 1, 8, 8), torch.zeros(2, 3, 8, 8, dtype=torch.bool)
    removed[1, 2] = True
    with pytest.raises(InputError, match="below 100"):
        linear_imputation(images, removed)


def test_no_images_give_none():
    found = linear_imputation(torch.zeros(0, 3, 8, 8), torch.zeros(0, 2, 8, 8, dtype=torch.bool))
    assert found.shape == (0, 2, 3, 8, 8)


def test_black_stays_black_beside_a_bright_channel():
    image = image_of(2, 32, 32)
    image[0] = 0
    found = imputed(image, masks_of("blobs", [0.9], 32, 32))
    assert found[0, 0].abs().max().item() == 0


def test_problems_do_not_depend_on_each_other(monkeypatch):
    """Hard and easy ones together, in groups of other sizes, and one by one."""
    images = torch.from_numpy(np.stack([image_of(2, 40, 40, seed) for seed in range(3)]))
    masks = torch.from_numpy(
        np.stack([masks_of(kind, SHARES, 40, 40) for kind in ("one_side", "fine", "scattered")])
    )
    together = linear_imputation(images, masks)
    monkeypatch.setitem(imputation._GROUP, "cpu", 4 * images[0].numel())
    torch.testing.assert_close(linear_imputation(images, masks), together, atol=2e-6, rtol=0)
    for image in range(3):
        for share in range(len(SHARES)):
            alone = linear_imputation(
                images[image : image + 1], masks[image : image + 1, share : share + 1]
            )
            torch.testing.assert_close(alone[0, 0], together[image, share], atol=2e-6, rtol=0)


def test_the_same_bits_again():
    image, masks = image_of(3, 48, 48), masks_of("blobs", SHARES, 48, 48)
    torch.testing.assert_close(imputed(image, masks), imputed(image, masks), atol=0, rtol=0)


def test_few_iterations_are_enough(monkeypatch):
    """Three cycles on the pixels; without a good start or coarse grids it would be dozens."""
    calls = []
    cycle = imputation.cycle

    def counted(levels, right):
        calls.append(right.shape[-1])
        return cycle(levels, right)

    monkeypatch.setattr(imputation, "cycle", counted)
    image = image_of(1, 128, 128, smooth=2)
    for kind in KINDS:
        calls.clear()
        imputed(image, masks_of(kind, [0.5, 0.9, 0.99], 128, 128))
        assert calls.count(130 * 130) <= 4, kind


# A tenth of 40 x 40 pixels, at random: on the second coarse grid a node is felt by rounding alone.
SCATTERED = (
    "Kp+4h02l!w002M?001ZeK!5^50007D01yBG1OP+;0T4(4000C5K$IW=0RR9f00aO6U;zO@2m~Mi0s=q)"
    "06~BN2qFLgfB*miiGTtD06+kk004jh00000fdB}AKoCNK3;+lK5C{N(ga`=$0D%Yq00d9~000P30ssJj"
    "APRs81b`3#5C(w&00aUI01*HP00aPl00{tq0001x00IC&00aO400031P=Sy@1QG-Y0062$2ml}m0Wcr{"
    "009610Du4h"
)


def test_a_node_that_is_felt_by_rounding_alone_does_no_harm():
    bits = np.unpackbits(np.frombuffer(base64.b85decode(SCATTERED), np.uint8))
    removed = bits.reshape(1, 40, 40).astype(bool)
    assert removed.sum() == 160
    image = image_of(3, 40, 40)
    check(image, removed, imputed(image, removed))


# Row and column of the least relevant 41 pixels of integrated gradients, 64 x 64: on the coarsest
# grid nothing is left of them but rounding.
FADING = (
    "1-15 1-47 7-35 9-13 9-29 15-35 19-7 19-15 19-19 19-31 19-37 20-41 21-21 22-31 24-30 25-33 "
    "25-37 26-23 26-28 26-57 27-33 27-37 28-25 28-27 29-25 29-33 29-37 31-35 32-33 33-33 34-33 "
    "35-33 35-37 36-35 37-25 38-37 38-39 39-1 41-29 43-21 46-37 "
)


def test_a_grid_on_which_all_is_rounding_does_no_harm():
    removed = np.zeros((1, 64, 64), bool)
    for place in FADING.split():
        row, column = map(int, place.split("-"))
        removed[0, row, column] = True
    assert removed.sum() == 41
    image = image_of(3, 64, 64)
    check(image, removed, imputed(image, removed))


def test_many_scattered_masks():
    # Two of the first 800 have such a node.
    draw = torch.Generator().manual_seed(0)
    for side, share, count in ((40, 0.1, 400), (48, 0.1, 400), (64, 0.01, 3000)):
        removed = torch.rand(1, count, side, side, generator=draw) < share
        found = linear_imputation(torch.rand(1, 3, side, side, generator=draw), removed)
        assert found.isfinite().all()


def test_what_does_not_converge_is_an_error():
    levels = imputation.hierarchy(torch.from_numpy(masks_of("middle", [0.9], 64, 64)).float())
    right = levels[0].stencil.unknown.clone()
    with pytest.raises(ArithmeticError, match="did not converge in 2 iterations"):
        imputation.solve(levels, right, torch.zeros_like(right), torch.zeros(1, 1, 1), limit=2)
