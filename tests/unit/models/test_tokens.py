"""Which tokens stand for which part of an image."""

import pytest
import torch
from torch import nn

from sparsight.io.errors import InputError
from sparsight.models.tokens import TokenGrid, map_form, prefix_tokens, token_grid


@pytest.mark.parametrize(
    ("tokens", "sides", "prefix", "grid"),
    [
        # a class token; a class token and one of distillation, or four registers; none
        (197, (224, 224), None, (1, 14, 14)),
        (198, (224, 224), None, (2, 14, 14)),
        (201, (224, 224), None, (5, 14, 14)),
        (196, (224, 224), None, (0, 14, 14)),
        (17, (32, 32), None, (1, 4, 4)),
        (16, (32, 32), None, (0, 4, 4)),
        # whole patches go before a larger grid of broken ones
        (9, (32, 32), None, (5, 2, 2)),
        (9, (32, 32), 0, (0, 3, 3)),
        # as high as wide, as the image is
        (33, (32, 64), None, (1, 4, 8)),
        (33, (64, 32), None, (1, 8, 4)),
        # sides that are no multiple of the patch: cut or filled up
        (14 * 18 + 1, (225, 300), None, (1, 14, 18)),
        (15 * 19 + 1, (225, 300), None, (1, 15, 19)),
        # stated: the tokens that are left fill the grid, or, where patches are cut, all of them
        (24, (32, 32), 8, (8, 4, 4)),
        (16, (32, 32), 8, (0, 4, 4)),
        # no grid
        (60, (60, 60), None, None),
        (17, (32, 32), 3, None),
        (1, (32, 32), None, None),
        (1, (32, 32), 0, None),
    ],
)
def test_grids(
    tokens: int, sides: tuple[int, int], prefix: int | None, grid: tuple[int, int, int] | None
) -> None:
    found = token_grid(tokens, (2, 3, *sides), prefix)
    assert found == (TokenGrid(*grid) if grid else None)


class Stating(nn.Module):
    def __init__(self, prefix: object) -> None:
        super().__init__()
        self.num_prefix_tokens = prefix


def test_only_one_stated_number_counts() -> None:
    assert prefix_tokens(nn.Sequential(nn.ReLU(), Stating(5))) == 5
    assert prefix_tokens(nn.Sequential(Stating(0))) == 0
    assert prefix_tokens(nn.Sequential(Stating(5), Stating(1))) is None
    assert prefix_tokens(nn.Sequential(Stating("none"))) is None


@pytest.mark.parametrize("shape", [(2, 7, 4, 6), (2, 4, 6, 7), (2, 24, 7), (2, 25, 7)])
def test_maps_go_out_of_an_output_and_back(shape: tuple[int, ...]) -> None:
    output = torch.rand(shape)
    form = map_form("layer", shape, (2, 3, 32, 48))
    maps = form.maps(output)
    assert maps.shape == (2, 7, 4, 6)
    if len(shape) == 3:
        # row by row, behind the prefix
        assert torch.equal(maps[:, :, 1, 2], output[:, shape[1] - 24 + 6 + 2])
    again = form.restored(output, maps)
    assert torch.equal(again, output)
    assert again.data_ptr() != output.data_ptr()
    # one image with the maps of two
    other = form.restored(output[:1], maps)
    assert torch.equal(other[:, form.prefix :], output[:, form.prefix :])


@pytest.mark.parametrize("shape", [(2, 60, 8), (2, 10), (2, 8, 3, 7, 7)])
def test_what_holds_no_maps_is_refused_by_name(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match=r"'blocks\.3'"):
        map_form("blocks.3", shape, (2, 3, 60, 60))
