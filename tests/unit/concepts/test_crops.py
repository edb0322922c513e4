"""Crops: where they lie, in which order, and what goes through the network."""

from pathlib import Path

import pytest
import torch
from torch.nn import functional

from sparsight.concepts.craft import (
    CropReader,
    crop_grid,
    crop_keys,
    cut,
    images_of_class,
    sample_of,
)
from sparsight.data.packed import PackedSplit
from sparsight.io.errors import InputError
from tests.unit.concepts.planted import ColourNetwork, write_split

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def packed(tmp_path_factory) -> Path:
    draw = torch.Generator().manual_seed(0)
    images = torch.randint(256, (9, 3, 12, 12), generator=draw, dtype=torch.uint8)
    masks = torch.zeros(9, 12, 12)
    masks[:, :6] = 1
    path = tmp_path_factory.mktemp("crops") / "train.safetensors"
    return write_split(path, images, [0, 1, 2] * 3, ["a", "b", "c"], masks)


@pytest.fixture
def split(packed):
    with PackedSplit.open(packed) as opened:
        yield opened


def reader_of(split, batch_size=100, patch=1 / 3, network=None):
    return CropReader(network or ColourNetwork([[1.0, 0, 0]]), split, patch, batch_size, CPU)


def test_published_grid():
    grid = crop_grid(224, 224, 2 / 7)
    assert (grid.side, grid.stride, grid.rows, grid.columns, grid.count) == (64, 51, 4, 4, 16)
    wide = crop_grid(10, 20, 0.5)
    assert (wide.side, wide.stride, wide.rows, wide.columns) == (5, 4, 2, 4)
    assert crop_grid(3, 3, 0.3).stride == 1


@pytest.mark.parametrize("patch", [0.01, 1.2])
def test_impossible_grid(patch):
    with pytest.raises(InputError, match="'patch'"):
        crop_grid(10, 10, patch)


@pytest.mark.parametrize(("height", "width"), [(12, 12), (9, 14)])
def test_crops_are_those_of_unfold_in_its_order(height, width):
    images = torch.rand(3, 2, height, width)
    grid = crop_grid(height, width, 0.4)
    columns = functional.unfold(images, grid.side, stride=grid.stride)
    expected = columns.transpose(1, 2).reshape(-1, 2, grid.side, grid.side)
    assert torch.equal(cut(images, grid), expected)
    assert len(expected) == 3 * grid.count


def test_activations_do_not_depend_on_the_batch(split):
    positions = torch.tensor([4, 0, 8])
    reader = reader_of(split)
    found = reader.activations(positions)
    assert reader.passes == len(found) == 3 * reader.grid.count
    crops = cut(split.select(positions).images("clean"), reader.grid)
    # a red, green or blue mean survives the enlargement but for the borders
    torch.testing.assert_close(found, crops.mean(dim=(2, 3)), atol=0.05, rtol=0)
    enlarged = functional.interpolate(crops, size=(12, 12), mode="bilinear", align_corners=False)
    torch.testing.assert_close(found, enlarged.mean(dim=(2, 3)))
    for batch_size in (1, 5, 17):
        torch.testing.assert_close(reader_of(split, batch_size).activations(positions), found)


def test_no_more_than_a_batch_goes_through_the_network(split):
    sizes = []

    class Counting(ColourNetwork):
        def feature_maps(self, images):
            sizes.append(len(images))
            return super().feature_maps(images)

    reader = reader_of(split, 7, network=Counting([[1.0, 0, 0]]))
    reader.activations(torch.arange(9))
    list(reader.maps(torch.arange(9)))
    list(reader.crop_maps(torch.arange(9), torch.arange(20)))
    assert max(sizes) <= 7
    assert sum(sizes) == reader.passes == 9 * reader.grid.count + 9 + 20


def test_single_crops_are_those_of_the_whole(split):
    positions, reader = torch.tensor([4, 0, 8]), reader_of(split)
    batch = split.select(positions)
    rows = torch.tensor([20, 3, 3, 11])
    torch.testing.assert_close(
        reader.crops(positions, rows), cut(batch.images("clean"), reader.grid)[rows]
    )
    masks = cut(batch.binary_masks()[:, None].float(), reader.grid)[rows, 0]
    assert torch.equal(reader.masks(positions, rows), masks)
    (maps,) = reader.crop_maps(positions, rows)
    torch.testing.assert_close(maps.mean(dim=(2, 3)), reader.activations(positions)[rows])
    assert len(reader.crops(positions, rows[:0])) == 0


def test_mask_share(split):
    # side 4, stride 3: rows 0-3, 3-6, 6-9; of these 4, 3 and 0 of 4 rows lie in rows 0 to 5
    assert reader_of(split).mask_share(torch.arange(9)) == pytest.approx(7 / 12)


def test_images_of_a_class_are_a_function_of_their_ids():
    labels, ids = torch.tensor([0, 1] * 50), torch.arange(100) * 3
    found = images_of_class(labels, ids, 1, 20)
    assert (labels[found] == 1).all()
    assert len(found.unique()) == 20
    assert found.tolist() != sorted(found.tolist())
    # fewer are the first of more; the order in the file does not matter; at most what there is
    assert images_of_class(labels, ids, 1, 7).tolist() == found[:7].tolist()
    order = torch.randperm(100, generator=torch.Generator().manual_seed(1))
    again = images_of_class(labels[order], ids[order], 1, 20)
    assert ids[order][again].tolist() == ids[found].tolist()
    assert len(images_of_class(labels, ids, 1, 500)) == 50
    correct = torch.ones(100, dtype=torch.bool)
    correct[found[0]] = False
    assert images_of_class(labels, ids, 1, 19, correct).tolist() == found[1:].tolist()


def test_a_sample_of_crops_is_a_function_of_their_keys():
    grid = crop_grid(12, 12, 1 / 3)
    keys = crop_keys(torch.tensor([5, 2, 9]), grid)
    assert len(keys.unique()) == 27
    assert keys[9:18].tolist() == list(range(18, 27))
    rows = sample_of(keys, 8)
    assert rows.tolist() == sorted(set(rows.tolist()))
    assert {*keys[sample_of(keys, 4)].tolist()} < {*keys[rows].tolist()}
    assert {*keys.flip(0)[sample_of(keys.flip(0), 8)].tolist()} == {*keys[rows].tolist()}
    assert len(sample_of(keys, 100)) == 27


def test_negative_features_are_refused(split):
    network = ColourNetwork([[1.0, 0, 0]])
    network.colours.weight.data *= -1
    network.relu = torch.nn.Identity()
    with pytest.raises(InputError, match="'relu' of colours gives negative ones"):
        reader_of(split, network=network).activations(torch.arange(2))
