"""Training throughput on images of MNIST's form: one thread, batch 128, masks and noise on."""

import torch
from sidebyside import Row, compare
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset

from sparsight.models.thesis_cnn import ThesisCnn
from sparsight.pruning.masks import dense_masks
from sparsight.training.loop import Recipe, Stream, TrainingData, train

IMAGES, BATCH, NOISE = 12800, 128, 51
RECIPE = Recipe(
    epochs=1,
    batch_size=BATCH,
    optimiser={"name": "sgd", "learning_rate": 0.01, "momentum": 0.9, "weight_decay": 1e-4},
    schedule={"name": "constant"},
    noise=True,
)


def synthetic_images() -> TrainingData:
    """Images with four fifths of exactly zero pixels, as MNIST has, and labels."""
    draw = torch.Generator().manual_seed(0)
    images = torch.randint(1, 256, (IMAGES, 1, 28, 28), dtype=torch.uint8, generator=draw)
    images[torch.rand(images.shape, generator=draw) < 0.8] = 0
    return TrainingData(images, torch.randint(10, (IMAGES,), generator=draw), NOISE)


def ours(data: TrainingData) -> None:
    """One epoch of the project's loop."""
    network = ThesisCnn()
    train(network, data, RECIPE, Stream(0, "bench"), masks=dense_masks(network))


def bare_loop(
    data: TrainingData, noise: bool, layout: torch.memory_format = torch.channels_last
) -> None:
    """One epoch of the shortest loop that trains: no masks, no checks, no measures."""
    network = ThesisCnn().to(memory_format=layout)
    optimiser = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4)
    for batch in torch.randperm(IMAGES).split(BATCH):
        images = data.images[batch]
        if noise:
            drawn = torch.randint(NOISE + 1, images.shape, dtype=torch.uint8)
            images = torch.where(images == 0, drawn, images)
        optimiser.zero_grad()
        logits = network((images.float() / 255).contiguous(memory_format=layout))
        functional.cross_entropy(logits, data.labels[batch]).backward()
        optimiser.step()


class _PilDataset(Dataset):
    """What most public code does: PIL images and a transform per image."""

    def __init__(self, data: TrainingData) -> None:
        from torchvision.transforms import functional as pil
        from torchvision.transforms import v2

        self.images = [pil.to_pil_image(image) for image in data.images]
        self.labels = data.labels
        self.transform = v2.Compose(
            [v2.ToImage(), v2.ToDtype(torch.float32, scale=True), v2.Lambda(self.add_noise)]
        )

    @staticmethod
    def add_noise(image: torch.Tensor) -> torch.Tensor:
        return torch.where(image == 0, torch.randint(NOISE + 1, image.shape) / 255, image)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        return self.transform(self.images[index]), self.labels[index]


def loader_epoch(loader: DataLoader) -> None:
    """One epoch of the bare loop over a DataLoader."""
    network = ThesisCnn()
    optimiser = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4)
    for images, labels in loader:
        optimiser.zero_grad()
        functional.cross_entropy(network(images), labels).backward()
        optimiser.step()


def rows() -> list[Row]:
    """Ours beside a bare loop with the same noise, one without, and torchvision's DataLoader.

    The bare loop has the channels innermost, as ours has; a third one has them outermost, as torch
    has by default.
    """
    torch.set_num_threads(1)
    data = synthetic_images()
    name = f"train {IMAGES} images for one epoch"
    loader = DataLoader(_PilDataset(data), batch_size=BATCH, shuffle=True)
    return [
        compare(
            name,
            lambda: ours(data),
            lambda: bare_loop(data, True),
            "bare loop, same noise",
            "≥ 0.85",
        ),
        compare(
            name,
            lambda: ours(data),
            lambda: bare_loop(data, False),
            "bare loop, no noise",
            "reported",
        ),
        compare(
            name,
            lambda: ours(data),
            lambda: bare_loop(data, True, torch.contiguous_format),
            "bare loop, same noise, contiguous",
            "≥ 1.6",
        ),
        compare(
            name,
            lambda: ours(data),
            lambda: loader_epoch(loader),
            "torchvision DataLoader of PIL images",
            "≥ 8",
            pairs=3,
        ),
    ]
