"""The page in `docs/` on sample pruners."""

from collections.abc import Mapping
from typing import Any

from sparsight.spade.registry import SOLVERS
from sparsight.study.reference_text import linked, page, parameters, section, table

_SPARSITIES = (
    ("`constant: 0.9`", "the same share of every layer's weights"),
    (
        '`layers: {layer4: 0.95, "layer3.*": 0.5}`',
        "by the name of a layer or of a module around it, or by a pattern with `*` and `?`. The "
        "longest that fits counts; a layer that none fits keeps its weights",
    ),
    (
        "`preset: published_resnet50`",
        "as published, for ResNet-50; also `published_feature_visualisation`. "
        "`published_by_stage` carries the first over to other residual networks, which is ours",
    ),
    (
        "`search: {criterion: without_truth}`",
        "searched for on calibration images of `split`, with the shares of `grid`",
    ),
    (
        "`as: spade_fast`",
        "those of another sample pruner, searched for or not: for controls of equal sparsity",
    ),
)
_CRITERIA = (
    (
        "`without_truth`",
        "ours: the largest share at which copies, on augmentations that they were not pruned for, "
        "keep the network's prediction (`keep_prediction`) and its probability "
        "(`keep_probability`)",
    ),
    (
        "`ground_truth`",
        "as published: the share with the largest mean pixel ROC AUC of saliency against the masks",
    ),
)
_FILES = (
    (
        "`spade/{sample_pruner}_sparsities.json`",
        "shares that were searched for, all that was tried, and the calibration images",
    ),
    (
        "`spade/{sample_pruner}__{family}.parquet`",
        "fidelity of every copy to its network, a row per image and condition: whether both "
        "predict the same class (`same_prediction`), the Kullback-Leibler divergence of their "
        "outputs in nats (`divergence`), the share of the explained class's probability that is "
        "left (`probability_kept`), and the share of zeros in the layers pruned (`sparsity`)",
    ),
    (
        "`summary/sample_pruning.csv`",
        "every explainer on copies against itself on the network, and sample pruners against "
        "each other, paired by image: differences with intervals, their p, and mean fidelity",
    ),
)


def sample_page() -> str:
    """The page's parts, joined: Markdown."""
    facts = {name: SOLVERS.facts(name) for name in sorted(SOLVERS.entries)}
    rows = [(f"[`{name}`](#{name})", _needs(of), _columns(of)) for name, of in facts.items()]
    return page(
        "Sample pruners",
        "SPADE ([arXiv:2310.04519](https://arxiv.org/abs/2310.04519)) prunes a copy of the network "
        "for one image, and explains the image with that copy: what the network has learnt for "
        "other images is to fall, and what is left to be easier to explain. The image's augmented "
        "copies pass through the network, each layer's inputs are recorded, and a solver makes the "
        "layer sparse so that its outputs on these inputs stay. All convolutions but the first, "
        "and all linear layers, are pruned, each by its own share.",
        "A sample pruner of the catalogue names its `solver`, one of these, the `parameters` that "
        "differ from the defaults, and its `sparsities`. Those of `sample_pruning.pruners` run, "
        "and each of the study's explainers stands once more for each of them in all tables: "
        "`spade_fast__saliency` beside `saliency`. Metrics judge these maps with the network "
        "itself; those that explain anew leave them out.",
        "Sparsity alone changes explanations, whatever it was chosen by. `magnitude` and `random` "
        "are controls: with the sparsities of another sample pruner (`as`), they remove as many "
        "weights from every layer without looking at the image. What a solver gains over them is "
        "what pruning *for the sample* gains. How far a copy still is the network that it is to "
        "explain is measured with every image.",
        table(("solver", "needs", "most columns"), rows),
        "*Columns* are the inputs of an output: channels times the pixels of the kernel.",
        "## Solvers",
        *(part for name, of in facts.items() for part in _solver(name, of)),
        "## Sparsities",
        "The share of a layer's weights that is zero in the copy; zeros of an earlier pruning "
        "count. One of:",
        table(("sparsities", "which shares"), _SPARSITIES),
        "A search tries one layer after the other, from the classifier backwards, by a criterion. "
        "Its images are never those of the test split:",
        table(("criterion", "what is taken"), _CRITERIA),
        "## What is written",
        "Beside each checkpoint, and over all of them:",
        table(("file", "what it holds"), _FILES),
    )


def _solver(name: str, facts: Mapping[str, Any]) -> list[str]:
    rows = [
        ("reference", linked(facts["reference"])),
        ("needs", _needs(facts)),
        ("most columns", _columns(facts) if facts.get("largest_columns") else ""),
        ("parameters", parameters(facts.get("parameters", {}))),
    ]
    return section(SOLVERS, name, rows)


def _needs(facts: Mapping[str, Any]) -> str:
    return "the layer's inputs" if facts["needs_hessian"] else "nothing of the image: a control"


def _columns(facts: Mapping[str, Any]) -> str:
    most = facts.get("largest_columns", 0)
    return f"{most}, unless `largest_columns` says otherwise" if most else "any number"
