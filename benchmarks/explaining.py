"""Our batched Grad-CAM++ beside pytorch-grad-cam: equal maps, three layers of one network."""

import torch
from sidebyside import Row, compare

from sparsight.explain.base import ImageBatch, build_explainers, explain_batch, to_image_size
from sparsight.explain.network import frozen
from sparsight.metrics.preparation import min_max
from sparsight.models.thesis_cnn import ThesisCnn

LAYERS = ("conv2", "conv2_relu", "pool2")
COUNT = 500


def rows() -> list[Row]:
    """All three layers, brought to image size and to [0, 1] as the library does."""
    from pytorch_grad_cam import GradCAMPlusPlus
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    torch.set_num_threads(1)
    torch.manual_seed(0)
    network = ThesisCnn().eval()
    images, targets = torch.rand(COUNT, 1, 28, 28), torch.randint(10, (COUNT,))
    entries = {x: {"method": "grad_cam_pp", "parameters": {"layer": x}} for x in LAYERS}
    explainers = build_explainers(entries)

    def ours() -> dict[str, torch.Tensor]:
        with frozen(network):
            maps = explain_batch(
                explainers, ImageBatch(network, images, targets, torch.arange(COUNT))
            )
        return {
            name: min_max(to_image_size(min_max(part), (28, 28), "bilinear"))
            for name, part in maps.items()
        }

    def library() -> dict[str, torch.Tensor]:
        found = {}
        for layer in LAYERS:
            with GradCAMPlusPlus(model=network, target_layers=[getattr(network, layer)]) as cam:
                maps = cam(images, [ClassifierOutputTarget(int(t)) for t in targets])
            found[layer] = torch.from_numpy(maps)
        return found

    theirs = library()
    for name, part in ours().items():
        difference = (part - theirs[name]).abs().median().item()
        assert difference < 1e-4, f"{name}: the maps differ by {difference}"
    return [
        compare(
            f"Grad-CAM++, {COUNT} images, three layers",
            ours,
            library,
            "pytorch-grad-cam",
            "reported",
        )
    ]
