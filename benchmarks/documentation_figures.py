"""Draw the figures of docs/how_it_works.md and docs/terms.md into docs/assets.

The first shows the stages of the workflow, the second a curve of a committed table.
"""

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.patches import FancyBboxPatch

from sparsight.analysis.tables import read
from sparsight.plots.style import figure_style, new_figure, save_figure

ROOT = Path(__file__).parents[1]
ASSETS = ROOT / "docs" / "assets"
TABLE = ROOT / "results/reference/four_datasets_small/agreement.csv"
BLUE, RED, GREY = "#1f2a6b", "#a3195b", "0.4"
#: stage, the rules in it, and what they give
STAGES = [
    ("Data", "fetch_dataset prepare_dataset", "packed images and masks"),
    (
        "Networks",
        "make_rewind_point train_dense prune_level take_level",
        "a checkpoint for each level",
    ),
    (
        "Explanations",
        "explain_images make_controls explain_pruned_samples find_concepts",
        "maps and concepts of each checkpoint",
    ),
    (
        "Scores",
        "score_explanations compare_explanations compare_concepts find_exemplars",
        "a number for each image",
    ),
    (
        "Tables",
        "summarise summarise_agreement contrast correlate check_claims equal_accuracy",
        "intervals and verdicts",
    ),
    ("To look at", "draw_heatmaps draw_claims write_atlas", "figures, report, atlas"),
]


def draw_stages(outputs: list[Path]) -> None:
    """The stages as boxes, in two rows, with the names of their rules."""
    width, height, gap = 2.25, 1.45, 0.4
    with figure_style():
        figure = new_figure(3 * width + 2 * gap + 0.1, 2 * height + gap + 0.1)
        figure.set_layout_engine("none")
        axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
        axes.set(xlim=(-0.05, 3 * width + 2 * gap + 0.05), ylim=(2 * height + gap + 0.05, -0.05))
        axes.axis("off")
        for place, (stage, rules, gives) in enumerate(STAGES):
            left, top = (width + gap) * (place % 3), (height + gap) * (place // 3)
            box = FancyBboxPatch((left, top), width, height, "round,pad=0,rounding_size=0.08",
                                 facecolor="#f3f4fa", edgecolor=BLUE)  # fmt: skip
            axes.add_patch(box)
            axes.text(left + 0.1, top + 0.2, stage, weight="bold", color=BLUE, va="center")
            axes.text(left + 0.1, top + 0.36, rules.replace(" ", "\n"), size=7.5, va="top")
            axes.text(left + 0.1, top + height - 0.13, gives, size=7.5, color=GREY, va="center")
            middle = top + height / 2
            if place % 3 < 2:
                _arrow(axes, (left + width, middle), (left + width + gap, middle))
        # from the end of the first row to the beginning of the second
        right, between = 2.5 * width + 2 * gap, height + gap / 2
        axes.plot([right, right, width / 2], [height, between, between], color=BLUE)
        _arrow(axes, (width / 2, between), (width / 2, height + gap))
        save_figure(figure, outputs)


def _arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    style = {"arrowstyle": "-|>", "color": BLUE, "shrinkA": 0, "shrinkB": 1}
    axes.annotate("", end, start, arrowprops=style)


def draw_terms(outputs: list[Path]) -> None:
    """Agreement of saliency with the dense network, by level, with what each part is called."""
    frame = read("agreement", TABLE)
    rows = frame[
        (frame["dataset"] == "mnist") & (frame["metric"] == "spearman") & (frame["subset"] == "all")
    ]
    saliency = rows[rows["explainer"] == "saliency"].set_index("pruner")
    levels = saliency[saliency["seed"] == "mean"].loc["four_densities"]
    networks = saliency[saliency["seed"] != "mean"]
    seed_floor = saliency[saliency["seed"] == "mean"].loc["dense", "mean"]
    floor = networks.loc["retrain", "mean"]
    control = rows[(rows["explainer"] == "mean_activation") & (rows["seed"] == "mean")]
    control = control[control["pruner"] == "four_densities"]
    with figure_style():
        figure = new_figure(6.6, 3.6)
        axes = figure.subplots()
        for _, network in networks.loc["four_densities"].groupby("seed"):
            axes.plot(network["level"], network["mean"], color=BLUE, linewidth=0.7, alpha=0.6)
        axes.plot(levels["level"], levels["mean"], "o-", color=BLUE, linewidth=2)
        axes.plot(control["level"], control["mean"], "s:", color=GREY, markersize=4)
        axes.axhspan(floor.min(), floor.max(), color=RED, alpha=0.25, linewidth=0)
        axes.axhline(seed_floor, color=RED, linestyle="--", linewidth=1)
        for height, text in (
            (floor.max(), "retrain floor: retrained, not pruned (range of 3 networks)"),
            (seed_floor, "seed floor: dense networks of other seeds"),
        ):
            axes.text(4.45, height + 0.02, text, color=RED, size=8, ha="right", va="bottom")
        means, others = levels["mean"].tolist(), control["mean"].tolist()
        thin = "saliency: thin lines are networks,\nthe thick one is their mean"
        for text, at, place, colour in (
            ("level 1", (1, means[0]), (0.62, 0.45), BLUE),
            (thin, (3, means[2]), (2.15, -0.16), BLUE),
            ("control: mean activation,\nwhich knows no class", (3, others[2]), (3.2, 0.56), GREY),
        ):
            line = {"arrowstyle": "-", "color": colour, "linewidth": 0.6}
            axes.annotate(text, at, place, color=colour, size=8, va="center", arrowprops=line)
        axes.set(xlim=(0.5, 4.5), ylim=(-0.3, 1.1), xlabel="pruning level, and weights left")
        axes.set_ylabel("Spearman agreement with\nthe dense network's map")
        shares = [f"{n}\n{d:.0%}" for n, d in zip(levels["level"], levels["density"], strict=True)]
        axes.set_xticks(levels["level"], shares)
        save_figure(figure, outputs)


if __name__ == "__main__":
    draw_stages([ASSETS / "stages.svg"])
    draw_terms([ASSETS / "terms.svg"])
