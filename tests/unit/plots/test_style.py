"""Looks of curves and the files that figures become."""

import itertools

import matplotlib
import pytest
from matplotlib.colors import to_rgb

from sparsight.io.errors import InputError
from sparsight.plots.style import (
    figure_style,
    looks,
    new_figure,
    order_names,
    save_figure,
)


def test_no_two_of_many_curves_look_alike():
    names = [f"explainer_{i}" for i in range(16)]
    controls = [f"control_{i}" for i in range(8)]
    found = looks([*names, *controls], controls)
    assert len({(look.colour, look.marker, look.dash) for look in found.values()}) == 24


def test_curves_differ_without_colour():
    found = list(looks([f"explainer_{i}" for i in range(8)]).values())
    for one, other in itertools.combinations(found, 2):
        assert one.marker != other.marker


def test_controls_are_grey_dashed_and_last():
    names = order_names(["b", "edges", "a"], ["b"], ["edges"])
    assert names == ["b", "a", "edges"]
    found = looks(names, ["edges"])
    red, green, blue = to_rgb(found["edges"].colour)
    assert red == green == blue
    assert found["edges"].dash != "-"
    assert found["edges"].hollow
    assert len(set(to_rgb(found["a"].colour))) > 1


def test_saving_is_deterministic_and_leaves_no_settings_behind(tmp_path, check_file):
    before = dict(matplotlib.rcParams)
    for name in ("one", "two"):
        with figure_style():
            figure = new_figure(3, 2)
            figure.subplots().plot([1, 2], [3, 4], marker="o")
            save_figure(figure, [tmp_path / f"{name}.svg", tmp_path / f"{name}.png"])
    for suffix in ("svg", "png"):
        first, second = (tmp_path / f"{name}.{suffix}" for name in ("one", "two"))
        assert first.read_bytes() == second.read_bytes()
        check_file(first)
    assert dict(matplotlib.rcParams) == before


def test_saved_panels_lie_at_rounded_places(tmp_path):
    # The solver's last digits differ between processes, which one process cannot show.
    with figure_style():
        figure = new_figure(3.1, 2.3)
        for axes in figure.subplots(2, 3).flat:
            axes.set_ylabel("label")
        save_figure(figure, [tmp_path / "figure.svg"])
    for axes in figure.axes:
        bounds = axes.get_position(original=True).bounds
        assert bounds[:2] == tuple(round(value, 6) for value in bounds[:2])
    boxes = [axes.get_window_extent() for axes in figure.axes]
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])


def test_unknown_format_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"must end in \.svg, \.png or \.pdf"):
        save_figure(new_figure(1, 1), [tmp_path / "figure.jpg"])


def test_further_pages_lie_beside_the_first_and_do_not_outlive_it(tmp_path):
    pages = [new_figure(1, 1) for _ in range(3)]
    save_figure(pages, [tmp_path / "figure.svg"])
    names = ["figure.page2.svg", "figure.page3.svg", "figure.svg"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    save_figure(pages[:2], [tmp_path / "figure.svg"])
    assert sorted(path.name for path in tmp_path.iterdir()) == [names[0], names[2]]
