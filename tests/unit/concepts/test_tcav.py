"""Steps along concept vectors: their units, and the draws behind them."""

import torch

from sparsight.concepts.cav import Labelled
from sparsight.concepts.tcav import Tcav, positive_shares
from tests.unit.concepts.planted import believed, mislabelled, two_kinds


def draw_bank(count: int, positives: int) -> Labelled:
    """The first of four channels is higher where the concept is shown, the others are noise."""
    draw = torch.Generator().manual_seed(0)
    shown = torch.zeros(count, 1, dtype=torch.bool)
    shown[:positives] = True
    pooled = torch.randn(count, 4, generator=draw)
    pooled[:, 0] += 8 * shown[:, 0]
    return Labelled(pooled, shown, torch.arange(count), torch.ones_like(shown))


def test_channels_that_are_nearly_dead_do_not_count() -> None:
    bank, draw = draw_bank(200, 100), torch.Generator().manual_seed(1)
    # logits rise along the first channel for three images of four
    slopes = torch.zeros(40, 4)
    slopes[:, 0] = torch.where(torch.arange(40) % 4 == 0, -1.0, 1.0)
    labels = torch.zeros(40, dtype=torch.int64)
    dead = 1 + 1e-5 * torch.randn(200, 16, generator=draw)
    small = 0.01 * torch.randn(40, 16, generator=draw)
    method = Tcav(draws=4)
    alive = positive_shares(slopes, labels, method._vectors(bank, 0)[0], 1)
    more = bank._replace(pooled=torch.cat([bank.pooled, dead], dim=1))
    steps, _ = method._vectors(more, 0)
    assert (steps[..., 4:].abs() < 1e-4 * steps[..., :1].abs()).all()
    found = positive_shares(torch.cat([slopes, small], dim=1), labels, steps, 1)
    assert torch.equal(alive, torch.full((1, 4, 1), 0.75, dtype=torch.float64))
    assert torch.equal(found, alive)


def test_units_of_a_channel_do_not_matter() -> None:
    bank, draw = draw_bank(200, 100), torch.Generator().manual_seed(1)
    slopes, labels = torch.randn(40, 4, generator=draw), torch.zeros(40, dtype=torch.int64)
    units = torch.tensor([1.0, 64.0, 0.125, 8.0])
    scaled = bank._replace(pooled=bank.pooled * units)
    method = Tcav(draws=4)
    found = [
        positive_shares(slopes / unit, labels, method._vectors(some, 0)[0], 1)
        for some, unit in ((bank, torch.ones(4)), (scaled, units))
    ]
    assert torch.equal(*found)


def test_draws_differ_where_few_images_show_a_concept() -> None:
    few, many = draw_bank(200, 12), draw_bank(200, 100)
    method = Tcav(draws=6, images_per_side=50)
    assert method._counts(few) == [6]
    assert method._counts(many) == [50]
    # a channel of its own for each image shows which images a vector was fitted on
    steps = method._vectors(few._replace(pooled=torch.eye(200)), 0)[0][:, 0]
    taken = {tuple((step[:12].abs() > 1e-6).nonzero()[:, 0].tolist()) for step in steps}
    assert {len(images) for images in taken} == {6}
    assert len(taken) > 1
    (note,) = method._small_draws(few, ["beak"])
    assert note.startswith("1 concepts have fewer than twice 50 training images")
    assert note.endswith("beak (6)")
    assert method._small_draws(many, ["beak"]) == []


def test_images_of_which_a_concept_is_not_known_are_left_out() -> None:
    bank, method = two_kinds(120, 0), Tcav(draws=4)
    # 20 images without the structure, 40 of its first kind, 60 of its second
    assert method._counts(bank) == [10, 10]
    assert method._counts(believed(bank)) == [20, 30]
    (note,) = method._small_draws(bank, ["first", "second"])
    assert note.endswith("first (10), second (10)")
    slopes, labels = torch.tensor([[1.0, 0, 0, 0]] * 3), torch.zeros(3, dtype=torch.int64)
    steps, random = method._vectors(bank, 0)
    assert positive_shares(slopes, labels, steps, 1).unique().tolist() == [1.0]
    other, same = method._vectors(mislabelled(bank), 0)
    assert torch.equal(steps, other)
    assert torch.equal(random, same)
    # taken for negative examples, images of the second kind turn the first concept round
    wrong, _ = method._vectors(believed(bank), 0)
    assert positive_shares(slopes, labels, wrong, 1)[0, :, 0].unique().tolist() == [0.0]
    # a channel of its own for each image shows which images a vector was fitted on
    steps, _ = method._vectors(bank._replace(pooled=torch.eye(120)), 0)
    for k in range(2):
        taken = steps[:, k].abs() > 1e-6
        assert not taken[:, ~bank.known[:, k]].any()
        assert taken[:, bank.shown[:, k]].sum(dim=1).tolist() == [10] * 4
        assert taken.sum(dim=1).tolist() == [20] * 4
