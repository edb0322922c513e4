"""How good a network is: accuracy, balanced accuracy, AUROC, loss, per split and condition."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from sparsight.data.packed import CONDITIONS, PackedSplit, Planted, read_planted


def attack_measures(predicted: torch.Tensor, planted: Planted) -> dict[str, float | int | None]:
    """What a network makes of images with and without a sticker.

    `clean_accuracy`, over the images without a sticker; `attack_success`, the share of images with
    a sticker that are taken for the class of the sticker, over all and for each sticker
    (`attack_success:{sticker}`); `kept_class`, the share of images with a sticker that are still
    taken for what they were; and `stickered_images`, their number. None where there are no such
    images. (Gu et al. 2017, arXiv:1708.06733.)
    """
    fooled = predicted == planted.labels
    with_sticker = planted.stickered
    found: dict[str, float | int | None] = {
        "clean_accuracy": _share(fooled[~with_sticker]),
        "attack_success": _share(fooled[with_sticker]),
        "kept_class": _share((predicted == planted.original_labels)[with_sticker]),
        "stickered_images": int(with_sticker.sum()),
    }
    for number, name in enumerate(planted.names):
        found[f"attack_success:{name}"] = _share(fooled[planted.stickers == number])
    return found


def _share(hits: torch.Tensor) -> float | None:
    return hits.double().mean().item() if len(hits) else None


@dataclass(frozen=True)
class Outputs:
    """What a network says of a split: image_ids, labels [N], and logits, float32 [N, classes]."""

    image_ids: torch.Tensor
    labels: torch.Tensor
    logits: torch.Tensor


@torch.no_grad()
def network_outputs(
    network: nn.Module, split: PackedSplit, condition: str, batch_size: int, device: torch.device
) -> Outputs:
    """Logits of all images of a split under a condition, batch by batch."""
    network.eval()
    # only what is returned is kept: the images of a split need not fit into memory
    image_ids, labels, logits = [], [], []
    for start in range(0, len(split), batch_size):
        batch = split.rows(start, min(start + batch_size, len(split)))
        image_ids.append(batch.image_ids)
        labels.append(batch.labels)
        logits.append(network(batch.images(condition).to(device)).cpu())
    return Outputs(torch.cat(image_ids), torch.cat(labels), torch.cat(logits))


def measures(outputs: Outputs) -> dict[str, float | int | None]:
    """Accuracy, balanced accuracy (mean recall over the classes that occur), AUROC, loss, images.

    AUROC is None unless there are two classes and both occur.
    """
    correct = outputs.logits.argmax(1) == outputs.labels
    class_count = outputs.logits.shape[1]
    per_class = torch.bincount(outputs.labels, minlength=class_count)
    hits = torch.bincount(outputs.labels[correct], minlength=class_count)
    occurs = per_class > 0
    recalls = hits[occurs].double() / per_class[occurs]
    return {
        "accuracy": correct.double().mean().item(),
        "balanced_accuracy": recalls.mean().item(),
        "auroc": _binary_auroc(outputs) if class_count == 2 else None,
        "loss": functional.cross_entropy(outputs.logits.double(), outputs.labels).item(),
        "images": len(outputs.labels),
    }


def _binary_auroc(outputs: Outputs) -> float | None:
    positive = outputs.labels.numpy() == 1
    if positive.all() or not positive.any():
        return None
    from sklearn.metrics import roc_auc_score  # late: two seconds that most studies need not pay

    margin = (outputs.logits[:, 1] - outputs.logits[:, 0]).numpy()
    return float(roc_auc_score(positive, margin))


def prediction_columns(outputs: Outputs, condition: str) -> dict[str, Any]:
    """Rows of `predictions.parquet`: what the network predicts, how surely, by what margin.

    `probability` is that of the predicted class; `margin` the top logit minus the second.
    """
    top = outputs.logits.topk(2, dim=1).values
    return {
        "image_id": outputs.image_ids.numpy(),
        "condition": np.full(len(outputs.labels), condition),
        "label": outputs.labels.numpy().astype(np.int32),
        "predicted": outputs.logits.argmax(1).numpy().astype(np.int32),
        "probability": outputs.logits.softmax(1).max(1).values.numpy(),
        "margin": (top[:, 0] - top[:, 1]).numpy(),
    }


def evaluate(
    network: nn.Module, splits: Sequence[Path], batch_size: int, device: torch.device
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Evaluate on packed splits, files `<split>.safetensors`.

    Returns
    -------
    measures per split and condition, where stickers are planted those of `attack_measures` too, and
    the columns of `predictions.parquet`, from the split `test`.
    """
    found: dict[str, Any] = {}
    columns: list[dict[str, Any]] = []
    for path in splits:
        with PackedSplit.open(path) as split:
            if not len(split):
                continue
            planted = read_planted(path)
            outputs = network_outputs(network, split, "clean", batch_size, device)
            # Without noise the two conditions are the same images, which are clean.
            for condition in CONDITIONS if split.has_noise else ("clean",):
                if condition == "noisy":
                    outputs = network_outputs(network, split, condition, batch_size, device)
                measured = measures(outputs)
                if planted is not None:
                    measured |= attack_measures(outputs.logits.argmax(1), planted)
                found.setdefault(path.stem, {})[condition] = measured
                if path.stem == "test":
                    columns.append(prediction_columns(outputs, condition))
    return found, {name: np.concatenate([part[name] for part in columns]) for name in columns[0]}
