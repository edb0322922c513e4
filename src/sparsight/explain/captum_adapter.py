"""Any attribution class of captum, named `captum.<Class>` in the configuration.

Parameters go to the constructor or to `attribute()`, by their signatures. Lists become tuples
(`sliding_window_shapes: [1, 4, 4]`), masks become tensors, `layer` becomes the module of that name,
`attribution_method` the class of that name (for `NoiseTunnel`). Where captum wants a tensor of
`baselines`, a number stands for images of that grey value.
"""

import inspect
import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from sparsight.explain.base import (
    STATED_SHAPE,
    Explainer,
    ImageBatch,
    check_foreign_class,
    detached_float32,
)
from sparsight.explain.network import hooks_restored, named_layer
from sparsight.explain.randomness import PerImageSeeds
from sparsight.io.errors import InputError, hint

# Given by the adapter, or changing the type of the result.
_RESERVED = {
    *("self", "inputs", "target", "additional_forward_args", "kwargs"),
    *("forward_func", "model", "return_convergence_delta", "device_ids"),
}


class CaptumExplainer(Explainer):
    """Adapter; `CaptumExplainer("Deconvolution")` is what `captum.Deconvolution` builds.

    Facts hold unless the class says otherwise. `cost` is that of a plain gradient;
    `foreign_classes` has those that cost more, and the numbers of steps, samples and features that
    are given scale it. Random methods run image by image (`randomness.PerImageSeeds`).
    """

    name: ClassVar[str] = "captum"
    reference: ClassVar[str] = "Kokhlikyan et al. 2020, arXiv:2009.07896"
    signed: ClassVar[bool] = True
    reduction: ClassVar[str] = "sum"
    value_range: ClassVar[str] = "any"
    cost: ClassVar[int] = 3
    interpolation: ClassVar[str] = "bilinear"
    #: those that cannot be used, and why
    foreign_refused: ClassVar[dict[str, str]] = {
        "DataLoaderAttribution": "it explains a whole data set at once",
        "FeaturePermutation": "its map depends on the other images of the batch",
        "LLMAttribution": "it explains language models",
        "LLMGradientAttribution": "it explains language models",
        "LRP": (
            "captum has no rule for modules that the networks here are made of, such as "
            "nn.Flatten and the normalisation of images; use the method lrp"
        ),
        "LayerFeaturePermutation": "its map depends on the other images of the batch",
        "LayerLRP": (
            "captum has no rule for modules that the networks here are made of, such as "
            "nn.Flatten and the normalisation of images; use the method lrp"
        ),
        "LimeBase": "it needs functions as parameters; use captum.Lime",
        "RemoteLLMAttribution": "it explains language models",
    }
    #: those that can be used, for readers that must not import the library (a test runs each):
    #: cost with its defaults, images of 28x28 and layers of 512 channels; and the parameters that
    #: they must be given; of two joined by "or", one
    foreign_classes: ClassVar[dict[str, tuple[Any, ...]]] = {
        "Deconvolution": (3,),
        "DeepLift": (6,),
        "DeepLiftShap": (12, "baselines"),
        "FeatureAblation": (785,),
        "GradientShap": (15, "baselines"),
        "GuidedBackprop": (3,),
        "GuidedGradCam": (6, "layer"),
        "InputXGradient": (3,),
        "IntegratedGradients": (150,),
        "InternalInfluence": (150, "layer"),
        "KernelShap": (25,),
        "LayerActivation": (3, "layer"),
        "LayerConductance": (300, "layer"),
        "LayerDeepLift": (6, "layer"),
        "LayerDeepLiftShap": (12, "baselines", "layer"),
        "LayerFeatureAblation": (786, "layer"),
        "LayerGradCam": (3, "layer"),
        "LayerGradientShap": (25, "baselines", "layer"),
        "LayerGradientXActivation": (3, "layer"),
        "LayerIntegratedGradients": (152, "layer"),
        "Lime": (25,),
        "NeuronConductance": (150, "layer", "neuron_selector"),
        "NeuronDeconvolution": (3, "layer", "neuron_selector"),
        "NeuronDeepLift": (6, "layer", "neuron_selector"),
        "NeuronDeepLiftShap": (12, "baselines", "layer", "neuron_selector"),
        "NeuronFeatureAblation": (785, "layer", "neuron_selector"),
        "NeuronGradient": (3, "layer", "neuron_selector"),
        "NeuronGradientShap": (15, "baselines", "layer", "neuron_selector"),
        "NeuronGuidedBackprop": (3, "layer", "neuron_selector"),
        "NeuronIntegratedGradients": (150, "layer", "neuron_selector"),
        "NoiseTunnel": (15, "attribution_method"),
        "Occlusion": (626, "sliding_window_shapes"),
        "Saliency": (3,),
        "ShapleyValueSampling": (19601,),
        "ShapleyValues": (1000000000,),
    }

    def __init__(self, class_name: str, /, **parameters: Any) -> None:
        import captum.attr

        self._class_name = class_name
        check_foreign_class("captum", class_name, self.foreign_refused, self.foreign_classes)
        self._class = getattr(captum.attr, class_name)
        self.settings = dict(parameters)
        self._of_constructor = _accepted(self._class.__init__)
        self._of_attribute = _accepted(self._class.attribute)
        known = self._of_constructor | self._of_attribute
        self._inner: CaptumExplainer | None = None
        if "attribution_method" in self._of_constructor:
            # The wrapped method, with those parameters that are not the wrapper's own.
            inner = parameters.get("attribution_method")
            if not isinstance(inner, str):
                raise InputError(
                    f"captum.{class_name} needs the parameter 'attribution_method', the name of "
                    "another captum class"
                )
            left = {key: value for key, value in parameters.items() if key not in known}
            self._inner = CaptumExplainer(inner, **left)
            known = known | set(self._inner.settings)
        for parameter in parameters:
            if parameter not in known:
                raise InputError(
                    f"captum.{class_name} has no parameter '{parameter}'{hint(parameter, known)}"
                )
        needed = _needed(self._class.__init__) | _needed(self._class.attribute)
        for parameter in sorted(needed - set(parameters)):
            raise InputError(f"captum.{class_name} needs the parameter '{parameter}'")
        self._seeds = PerImageSeeds()

    def explain(self, batch: ImageBatch) -> Tensor:

        def method(some: ImageBatch) -> Tensor:
            inputs = some.inputs
            with hooks_restored(some.model):
                arguments = self._arguments(inputs, some.targets)
                maps = self._instance(some.model).attribute(inputs, **arguments)
            if isinstance(maps, tuple) and len(maps) == 1:
                maps = maps[0]
            if not isinstance(maps, Tensor) or maps.ndim != 4 or len(maps) != len(some):
                raise InputError(
                    f"captum.{self._class_name} gives no maps [N,C,h,w] with these parameters; a "
                    "layer must be a convolution, an activation or a pooling layer"
                )
            return detached_float32(maps.sum(dim=1))

        return self._seeds(method, batch)

    def _instance(self, model: nn.Module) -> Any:
        """The captum object for `model`."""
        arguments = self._chosen(self._of_constructor)
        if "layer" in arguments:
            arguments["layer"] = named_layer(model, str(arguments["layer"]))
        if self._inner is not None:
            arguments.pop("attribution_method")
            return self._class(self._inner._instance(model), **arguments)
        return self._class(model, **arguments)

    def _arguments(self, images: Tensor, targets: Tensor) -> dict[str, Any]:
        """What `attribute()` is called with besides the images [N,C,H,W]."""
        signature = inspect.signature(self._class.attribute).parameters
        arguments = self._chosen(self._of_attribute)
        if "target" in signature:
            arguments["target"] = targets
        if "internal_batch_size" in signature:
            # Bounds memory; finite differences between steps need two of them at a time.
            arguments.setdefault("internal_batch_size", 2 * len(images))
        for key, value in arguments.items():
            if key.endswith("_mask") and value is not None:
                arguments[key] = torch.as_tensor(value, device=images.device)
        if "baselines" in _needed(self._class.attribute):
            # A distribution of baselines; captum wants at least two.
            value = float(arguments["baselines"])
            arguments["baselines"] = torch.full_like(images[:1], value).repeat(2, 1, 1, 1).detach()
        if self._inner is not None:
            arguments |= self._inner._arguments(images, targets)
        return arguments

    def _chosen(self, accepted: set[str]) -> dict[str, Any]:
        return {k: _as_tuple(k, value) for k, value in self.settings.items() if k in accepted}

    def facts(self) -> dict[str, Any]:
        """Facts of the captum class."""
        from captum.attr import LayerAttribution

        if self._inner is not None:
            return {**self._inner.facts(), "cost": self.cost_on(STATED_SHAPE)}
        if not issubclass(self._class, LayerAttribution):
            return {**super().facts(), "interpolation": "none"}
        return {**super().facts(), "native": "layer"}

    def cost_on(self, shape: tuple[int, int, int]) -> int:
        """The cost of the captum class with the parameters given, for images of `shape`."""
        features = cost_of_features(self._class_name, self.settings, shape)
        if features is not None:
            return features
        cost: int = self.foreign_classes[self._class_name][0]
        signature = inspect.signature(self._class.attribute).parameters
        for name in ("n_steps", "n_samples", "nt_samples"):
            if name in self.settings and name in signature:
                cost = math.ceil(cost * self.settings[name] / signature[name].default)
        # The wrapper's cost is stated for a plain gradient.
        return cost if self._inner is None else cost // self.cost * self._inner.cost_on(shape)


def _accepted(function: Any) -> set[str]:
    return set(inspect.signature(function).parameters) - _RESERVED


def _needed(function: Any) -> set[str]:
    parameters = inspect.signature(function).parameters.values()
    return {p.name for p in parameters if p.default is p.empty} - _RESERVED


def _as_tuple(key: str, value: Any) -> Any:
    if isinstance(value, list) and not key.endswith("_mask"):
        return tuple(_as_tuple(key, item) for item in value)
    return value


# More than anyone can wait for; orders of a whole image's values are beyond all numbers.
_MOST = 10**9
_ABLATIONS = ("FeatureAblation", "LayerFeatureAblation", "NeuronFeatureAblation")


def cost_of_features(
    class_name: str, settings: Mapping[str, Any], shape: tuple[int, int, int]
) -> int | None:
    """Passes of a captum class that tries features one after another; None for other classes.

    `settings` are its parameters, `shape` is (C, H, W) of the images. Without a mask each value of
    the image is a feature; a layer is taken to have as many as the image.
    """
    if class_name == "Occlusion":
        windows, strides = (
            _sides(settings.get(key) or 1) for key in ("sliding_window_shapes", "strides")
        )
        sides = zip(shape, windows, strides, strict=False)
        return 1 + math.prod(
            math.ceil(max(side - window, 0) / step) + 1 for side, window, step in sides
        )
    mask, count = settings.get("feature_mask", settings.get("layer_mask")), math.prod(shape)
    if mask is not None:
        numbers = torch.as_tensor(mask)
        count = int(numbers.max() - numbers.min()) + 1
    if class_name in _ABLATIONS:
        # One more pass for the output of the layer.
        return count + (2 if class_name.startswith("Layer") else 1)
    if class_name == "ShapleyValueSampling":
        return int(settings.get("n_samples", 25)) * count + 1
    if class_name == "ShapleyValues":
        return _MOST if count > 12 else min(_MOST, math.factorial(count) * count + 1)
    return None


def _sides(numbers: int | Sequence[Any]) -> Sequence[int]:
    """A number for each side, from one for all of them or from a list that may be in a list."""
    if isinstance(numbers, int):
        return [numbers] * 3
    return numbers if isinstance(numbers[0], int) else numbers[0]
