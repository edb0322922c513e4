"""Draw the gallery: each explainer of the catalogue on a few images, dense and pruned to a tenth.

`make gallery` trains a small network on handwritten digits, one on generated shapes and a small
transformer on these, prunes them, and writes a picture for each explainer into docs/gallery, and
what was drawn into the record from which `make docs` writes docs/gallery.md.

Where the photographs of CUB-200 lie in `data/` or `$SPARSIGHT_DATA`, pictures with a bird go into
build/gallery: the licence of those photographs lets nobody pass them on.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from matplotlib import colormaps, font_manager
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

import sparsight
from sparsight.data.location import find_folder
from sparsight.data.registry import SOURCES
from sparsight.explain.registry import EXPLAINERS
from sparsight.io.files import write_json
from sparsight.models.base import Architecture, build_network
from sparsight.models.registry import MODELS
from sparsight.models.tracing import trace
from sparsight.plots.heatmaps import SEQUENTIAL, diverging
from sparsight.study.reference_pages import GALLERY
from sparsight.training.loop import Recipe, Stream, TrainingData, train

ROOT = Path(__file__).parents[1]
PICTURES, BIRDS = ROOT / "docs" / "gallery", ROOT / "build" / "gallery"
DENSITY, SEED = 0.1, 0
SIDE, GAP, CAPTION, COLOURS = 96, 4, 15, 96
#: a small transformer, for explainers that look at attention
ATTENTION = {
    "architecture": "timm.vit_tiny_patch16_224",
    "options": {"img_size": 64, "patch_size": 8, "embed_dim": 48, "depth": 4, "num_heads": 3},
    "training": {
        "epochs": 40,
        "batch_size": 64,
        "optimiser": {"name": "adamw", "learning_rate": 0.002, "weight_decay": 0.01},
        "schedule": {"name": "cosine"},
    },
}

BIRD_TRAINING = {
    "epochs": 30,
    "batch_size": 32,
    "optimiser": {"name": "adamw", "learning_rate": 0.003, "weight_decay": 0.01},
    "schedule": {"name": "cosine"},
    "augment": {"flip": True},
}
#: a caption, and the picture above it; None of a map that is the same everywhere
Tile = tuple[str, Image.Image | None]


@dataclass
class Subject:
    """An image, and the networks that are explained on it.

    Attributes
    ----------
    image : float32 [1, C, H, W] in [0, 1].
    name : of the class.
    target : int64 [1], the class that the dense network predicts, which is right.
    networks : dense and pruned.
    layer : that class activation maps look at; "" for the architecture's own.
    facts : what the page says of all this.
    """

    image: Tensor
    name: str
    target: Tensor
    networks: tuple[Architecture, Architecture]
    layer: str
    facts: dict[str, Any]


def catalogue(kind: str) -> dict[str, Any]:
    """The entries of a file of the catalogue."""
    text = (ROOT / "catalogue" / f"{kind}.yaml").read_text(encoding="utf-8")
    found: dict[str, Any] = yaml.safe_load(text)[kind]
    return found


def subject(
    dataset: str, model: Mapping[str, Any], folder: Path = ROOT, layer: str = "", **names: str
) -> Subject:
    """Train, prune and train further; the image is the first of the test that dense gets right."""
    entry = catalogue("datasets")[dataset]
    source = SOURCES.load(entry["source"])()
    splits = source.read(entry.get("options", {}), folder)
    training, test = splits["train"], splits["test"]
    count = int(training.labels.max()) + 1
    network = _built(model, count, training.images.shape[1:])
    noise = entry.get("noise", {}).get("maximum", 0)
    data = TrainingData(torch.tensor(training.images), torch.tensor(training.labels), noise)
    train(network, data, Recipe(**model["training"]), Stream(SEED, "dense"), masks={})
    pruned, masks = sparsight.prune(network, 1 - DENSITY)
    again = Recipe(**model.get("retraining", model["training"]))
    train(pruned, data, again, Stream(SEED, "pruned"), masks=masks)
    images, labels = torch.tensor(test.images).float() / 255, torch.tensor(test.labels)
    with torch.no_grad():
        logits = [one(images) for one in (network, pruned)]
    first = int((logits[0].argmax(dim=1) == labels).nonzero()[0])
    target = labels[first : first + 1]
    weights = sum(mask.numel() for mask in masks.values())
    facts = {
        **names,
        "weights": weights,
        "density": sum(int(mask.sum()) for mask in masks.values()) / weights,
        "accuracy": [float((one.argmax(dim=1) == labels).float().mean()) for one in logits],
        "probability": [float(one[first].softmax(dim=0)[target]) for one in logits],
    }
    return Subject(
        images[first : first + 1], names["subject"], target, (network, pruned), layer, facts
    )


def _built(model: Mapping[str, Any], count: int, shape: tuple[int, ...]) -> Architecture:
    architecture, options = MODELS.load(model["architecture"]), model.get("options", {})
    if isinstance(architecture, type):
        return build_network(architecture, count, SEED, options)
    return trace(architecture, count, options, shape)[1]


def maps_of(one: Subject, entry: Mapping[str, Any]) -> list[NDArray[np.float32]]:
    """Maps [h, w] of the dense and of the pruned network; none where they lack the layer."""
    parameters = dict(entry.get("parameters", {}))
    defaults = EXPLAINERS.facts(entry["method"]).get("parameters", {})
    if one.layer and "layer" in defaults:
        parameters.setdefault("layer", one.layer)
    modules = dict(one.networks[0].named_modules())
    if not {parameters.get("layer", "")} <= {*modules, ""}:
        return []
    return [
        sparsight.explain(network, one.image, entry["method"], one.target, **parameters)[0].numpy()
        for network in one.networks
    ]


def coloured(values: NDArray[np.float32], signed: bool) -> Image.Image | None:
    """A map by itself: from its lowest to its highest value, or with 0 in the middle.

    None of a map that is the same everywhere.
    """
    if values.min() == values.max():
        return None
    if signed:
        reach = float(np.abs(values).max())
        scaled, colours = (values / reach + 1) / 2, diverging()
    else:
        low, high = float(values.min()), float(values.max())
        scaled, colours = (values - low) / (high - low), colormaps[SEQUENTIAL]
    return Image.fromarray((colours(scaled)[..., :3] * 255).round().astype(np.uint8))


def photograph(image: Tensor) -> Image.Image:
    """An image [1, C, H, W] as it is."""
    pixels = (image[0].expand(3, -1, -1).permute(1, 2, 0).numpy() * 255).round()
    return Image.fromarray(pixels.astype(np.uint8))


def strip(tiles: list[Tile]) -> Image.Image:
    """Pictures with captions side by side, in few colours; three make a group."""
    step = SIDE + GAP
    groups = len(tiles) // 3
    sheet = Image.new(
        "RGB", (step * len(tiles) + 3 * GAP * (groups - 1) - GAP, SIDE + CAPTION), "white"
    )
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.truetype(font_manager.findfont("DejaVu Sans"), 10)
    for place, (caption, picture) in enumerate(tiles):
        left = step * place + 3 * GAP * (place // 3)
        if picture is None:
            draw.rectangle((left, 0, left + SIDE - 1, SIDE - 1), fill="#f0f0f0")
            draw.text((left + SIDE / 2, SIDE / 2), "constant", "#555555", font, anchor="mm")
        else:
            sheet.paste(picture.resize((SIDE, SIDE), Image.Resampling.NEAREST), (left, 0))
        draw.rectangle((left, 0, left + SIDE - 1, SIDE - 1), outline="#999999")
        draw.text((left + SIDE / 2, SIDE + CAPTION / 2), caption, "#222222", font, anchor="mm")
    return sheet.quantize(COLOURS, dither=Image.Dither.NONE)


def tiles_of(one: Subject, entry: Mapping[str, Any], signed: bool) -> list[Tile]:
    """The image and both maps with their captions; none where the network lacks the layer."""
    maps = maps_of(one, entry)
    captions = ("dense", f"{DENSITY:.0%} of weights")
    drawn = [coloured(values, signed) for values in maps]
    return [(one.name, photograph(one.image)), *zip(captions, drawn, strict=True)] if maps else []


def main() -> None:
    """Write the pictures and the record."""
    models = catalogue("models")
    # with maps of 8 x 8 in its third stage
    finer = {**models["resnet18_shapes"], "options": {"width": 8, "stem": "strided"}}
    convolutions = [
        subject("digits", models["thesis_cnn_digits"], subject="digit", network="thesis_cnn"),
        subject("shapes", finer, layer="layer3", subject="shape", network="resnet18"),
    ]
    transformers = [subject("shapes", ATTENTION, subject="shape", network="vit")]
    record: dict[str, Any] = {
        "subjects": [one.facts for one in (*convolutions, *transformers)],
        "explainers": {},
    }
    birds = find_folder("CUB_200_2011")
    if birds is not None:
        narrow = {"width": 16, "stem": "strided"}
        model = {**models["resnet18_w32_cub"], "options": narrow, "training": BIRD_TRAINING}
        bird = subject("cub200_64", model, birds, "layer3", subject="bird", network="resnet18")
        BIRDS.mkdir(parents=True, exist_ok=True)
        (BIRDS / "facts.json").write_text(json.dumps(bird.facts, indent=1), encoding="utf-8")
    PICTURES.mkdir(exist_ok=True)
    for name, entry in catalogue("explainers").items():
        facts = EXPLAINERS.facts(entry["method"])
        chosen = transformers if facts.get("needs_attention") else convolutions
        shown = {one.name: tiles_of(one, entry, facts["signed"]) for one in chosen}
        tiles = [tile for group in shown.values() for tile in group]
        strip(tiles).save(PICTURES / f"{name}.png", optimize=True)
        if birds is not None and chosen is convolutions:
            more = tiles_of(bird, entry, facts["signed"])
            strip(tiles + more).save(BIRDS / f"{name}.png", optimize=True)
        record["explainers"][name] = {
            "family": entry["family"],
            "method": entry["method"],
            "parameters": entry.get("parameters", {}),
            **{key: entry[key] for key in ("label",) if key in entry},
            "subjects": [name_of for name_of, group in shown.items() if group],
        }
    for path in PICTURES.glob("*.png"):
        if path.stem not in record["explainers"]:
            path.unlink()
    write_json(GALLERY, record)


if __name__ == "__main__":
    main()
