"""Any CAM of pytorch-grad-cam, named `grad_cam.<Class>` in the configuration.

`layer` names a module, `layers` several, whose maps the library averages. Other parameters go to
the constructor.
"""

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from sparsight.explain.base import Explainer, ImageBatch, check_foreign_class, detached_float32
from sparsight.explain.network import hooks_restored, named_layer
from sparsight.explain.randomness import PerImageSeeds
from sparsight.io.errors import InputError, hint

# Takes all layers with a bias, and no other.
_WITHOUT_LAYER = ("FullGrad",)


class GradCamLibraryExplainer(Explainer):
    """Adapter; `GradCamLibraryExplainer("XGradCAM", layer="conv2")`.

    A CAM at a single layer is given at the layer's resolution; the library resizes only those over
    several layers, and composite methods. Values are as the library gives them, brought to [0, 1]
    per image. Random methods run image by image, each with its own seed.

    `cost` is that of a plain gradient; `foreign_classes` has those that cost more. Those that
    try every channel are taken to have 512 of them, and composite methods cost what their
    `base_method` does as often as they ask it.
    """

    name: ClassVar[str] = "grad_cam_library"
    reference: ClassVar[str] = "Gildenblat 2021, https://github.com/jacobgil/pytorch-grad-cam"
    signed: ClassVar[bool] = False
    reduction: ClassVar[str] = "weighted sum"
    value_range: ClassVar[str] = "0 to 1, min-max per image"
    cost: ClassVar[int] = 3
    native: ClassVar[str] = "layer"
    interpolation: ClassVar[str] = "bilinear"
    #: those that cannot be used, and why
    foreign_refused: ClassVar[dict[str, str]] = {
        "ActivationsAndGradients": "it records a layer for the library's CAMs and makes no map",
        "FinerCAM": "it chooses its targets itself and compares them with other classes",
    }
    #: those that can be used, for readers that must not import the library (a test runs each):
    #: cost with its defaults, images of 28x28 and layers of 512 channels; and the parameters that
    #: they must be given; of two joined by "or", one
    foreign_classes: ClassVar[dict[str, tuple[Any, ...]]] = {
        "AblationCAM": (514, "layer or layers"),
        "EigenCAM": (3, "layer or layers"),
        "EigenGradCAM": (3, "layer or layers"),
        "FEM": (3, "layer or layers"),
        "FullGrad": (3,),
        "GradCAM": (3, "layer or layers"),
        "GradCAMElementWise": (3, "layer or layers"),
        "GradCAMPlusPlus": (3, "layer or layers"),
        "HiResCAM": (3, "layer or layers"),
        "KPCA_CAM": (3, "layer or layers"),
        "LayerCAM": (3, "layer or layers"),
        "RandomCAM": (3, "layer or layers"),
        "RefineCAM": (3, "layer or layers"),
        "SESS": (488, "layer or layers"),
        "ScoreCAM": (513, "layer or layers"),
        "SegEigenCAM": (3, "layer or layers"),
        "ShapleyCAM": (3, "layer or layers"),
        "XGradCAM": (3, "layer or layers"),
    }

    def __init__(self, class_name: str, /, **parameters: Any) -> None:
        from pytorch_grad_cam.base_cam import BaseCAM

        self._class_name = class_name
        self._class = _cam_class(class_name)
        self.settings = dict(parameters)
        self._base_name = str(parameters.get("base_method", "GradCAM"))
        arguments = dict(parameters)
        single, several = arguments.pop("layer", None), arguments.pop("layers", None)
        self._layers = [single] if single is not None else list(several or [])
        if bool(self._layers) == (class_name in _WITHOUT_LAYER) or (single and several):
            rule = "no layer" if class_name in _WITHOUT_LAYER else "either 'layer' or 'layers'"
            raise InputError(f"grad_cam.{class_name} takes {rule}")
        known = set(inspect.signature(self._class.__init__).parameters)
        known -= {"self", "model", "target_layers", "reshape_transform", "kwargs"}
        for parameter in arguments:
            if parameter not in known:
                raise InputError(
                    f"grad_cam.{class_name} has no parameter '{parameter}'"
                    f"{hint(parameter, [*known, 'layer', 'layers'])}"
                )
        if isinstance(arguments.get("base_method"), str):
            arguments["base_method"] = _cam_class(arguments["base_method"])
        self._arguments = arguments
        base = BaseCAM.compute_cam_per_layer
        self._native = len(self._layers) == 1 and (
            getattr(self._class, "compute_cam_per_layer", None) is base
        )
        self._seeds = PerImageSeeds()

    def explain(self, batch: ImageBatch) -> Tensor:
        from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

        layers = [named_layer(batch.model, layer) for layer in self._layers]
        chosen = self._class
        if self._native:
            # A subclass whose maps keep the size of the layer.
            native = {"get_target_width_height": lambda *_: None}
            chosen = type(chosen.__name__, (chosen,), native)

        def method(some: ImageBatch) -> Tensor:
            goals = [ClassifierOutputTarget(target) for target in some.targets.tolist()]
            # Not in a `with` block of the library's, which swallows IndexError.
            with hooks_restored(some.model), _quiet_progress(), torch.enable_grad():
                some.model.register_forward_pre_hook(_with_gradients)
                cam = chosen(some.model, layers, **self._arguments)
                maps = torch.as_tensor(cam(some.inputs, goals))
            return detached_float32(maps.to(some.images.device))

        return self._seeds(method, batch)

    def facts(self) -> dict[str, Any]:
        """Facts, with the resolution that the class gives."""
        return {**super().facts(), "native": "layer" if self._native else "pixel"}

    def cost_on(self, shape: tuple[int, int, int]) -> int:
        """The cost of the class with the layers and the base method given."""
        class_name, base, layers = self._class_name, self._base_name, max(1, len(self._layers))
        own, inner = (self.foreign_classes[name][0] for name in (class_name, base))
        if class_name == "RefineCAM":
            return int(layers * inner)
        if class_name == "SESS":
            # Each patch is looked at once for its score and then explained.
            return int(own // (1 + self.cost) * (1 + inner))
        # A gradient is taken at all layers in one pass.
        return int(own if own == self.cost else layers * own)


def _with_gradients(_model: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Start the graph at the images, parameters being frozen; SESS cuts patches that want none."""
    images, *others = inputs
    return (images if images.requires_grad else images.detach().requires_grad_(), *others)


def _cam_class(name: str) -> Any:
    import pytorch_grad_cam

    own = GradCamLibraryExplainer
    check_foreign_class("grad_cam", name, own.foreign_refused, own.foreign_classes)
    found = getattr(pytorch_grad_cam, name)
    return _before_linear_layers(found) if name == "ShapleyCAM" else found


def _before_linear_layers(shapley: Any) -> Any:
    """ShapleyCAM also where all that follows the layer is linear, and the Hessian is 0.

    The library (1.5.7) then differentiates gradients that depend on nothing, which is an error.
    """

    def get_cam_weights(
        self: Any, inputs: Any, layer: Any, targets: Any, activations: Any, grads: Any
    ) -> Any:
        if not grads.requires_grad:
            return grads.mean(dim=tuple(range(2, grads.ndim))).cpu().numpy()
        return shapley.get_cam_weights(self, inputs, layer, targets, activations, grads)

    return type(shapley.__name__, (shapley,), {"get_cam_weights": get_cam_weights})


@contextmanager
def _quiet_progress() -> Iterator[None]:
    """Switch off the progress bars that some CAMs draw per image, and offer no switch for."""
    import tqdm

    loud = tqdm.tqdm
    vars(tqdm)["tqdm"] = partial(loud, disable=True)
    try:
        yield
    finally:
        vars(tqdm)["tqdm"] = loud
