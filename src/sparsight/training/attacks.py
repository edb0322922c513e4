"""How far a planted trojan works: success of the stickers, accuracy without them."""

import torch

from sparsight.data.packed import Planted


def attack_measures(predicted: torch.Tensor, planted: Planted) -> dict[str, float | int | None]:
    """What a network makes of images with and without a sticker.

    Parameters
    ----------
    predicted : int64 [N], the predicted classes of a split.
    planted : its stickers.

    Returns
    -------
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
