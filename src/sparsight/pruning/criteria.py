"""Criteria: a score for every prunable weight; the lowest fall first.

A criterion that needs more than the weights asks its `Observation` for gradients or layer inputs.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from sparsight.explain.base import ImageBatch
from sparsight.explain.lrp import Lrp
from sparsight.io.checkpoints import Tensors
from sparsight.io.errors import InputError
from sparsight.pruning.observation import Observation
from sparsight.spade.layers import PrunedLayer, layer_of, matrices, observed_inputs, unfold_inputs
from sparsight.spade.solvers import ObsFast, add_damping, cholesky, columns_with_signal
from sparsight.training.loop import generator

#: keeps denominators from 0, as in `sparsight.explain.lrp`
_STABILISER = 1e-6


class Criterion(ABC):
    """Scores the weights of a network. Facts are literal class attributes.

    Attributes
    ----------
    name : name in the registry.
    cost : in words: passes per calibration image and level.
    version : raised when its numbers change, see `sparsight.study.versions`.
    reference : paper, as arXiv id.
    needs_network, needs_data : whether it looks at more than weights: at the network, or at it and
        at training images.
    rounds : how many times a level is scored, each time with more of its weights fallen.
    adapts_weights : whether survivors change to make up for what falls (`adapt`).
    """

    name: ClassVar[str]
    version: ClassVar[int] = 1
    reference: ClassVar[str]
    cost: ClassVar[str]
    needs_network: ClassVar[bool] = False
    needs_data: ClassVar[bool] = False
    rounds: ClassVar[int] = 1
    adapts_weights: ClassVar[bool] = False

    @abstractmethod
    def scores(self, seen: Observation) -> Tensors:
        """Scores by prunable parameter, each float and of its shape; lower falls first.

        What has fallen may have any score.
        """

    def adapt(self, seen: Observation, masks: Tensors) -> tuple[Tensors, Tensors]:
        """Masks and weights after pruning each layer to as many weights as `masks` keep in it.

        Only criteria that adapt weights choose others than `masks`.
        """
        return masks, {name: weight * masks[name] for name, weight in seen.weights.items()}


class Magnitude(Criterion):
    """Absolute value of the weight."""

    name: ClassVar[str] = "magnitude"
    reference: ClassVar[str] = "Han et al. 2015, arXiv 1506.02626"
    cost: ClassVar[str] = "none"

    def scores(self, seen: Observation) -> Tensors:
        """|w| of every weight."""
        return {name: weight.detach().abs() for name, weight in seen.weights.items()}


class RandomOrder(Criterion):
    """One random order of all weights per seed, the control for every informed criterion.

    The order does not depend on the level, so that the masks are nested whether levels are pruned
    in a chain or each from the dense network.
    """

    name: ClassVar[str] = "random"
    reference: ClassVar[str] = "control; Frankle and Carbin 2019, arXiv 1803.03635, section 2"
    cost: ClassVar[str] = "none"

    def scores(self, seen: Observation) -> Tensors:
        """Uniform scores in [0, 1)."""
        cpu = torch.device("cpu")
        return {
            name: torch.rand(
                weight.shape, generator=generator(cpu, seen.seed, "random_order", name)
            )
            for name, weight in seen.weights.items()
        }


class Lamp(Criterion):
    """w² over the sum of all w'² of its layer with |w'| ≥ |w|: comparable between layers."""

    name: ClassVar[str] = "lamp"
    reference: ClassVar[str] = "Lee et al. 2021, arXiv 2010.07611, equation 4"
    cost: ClassVar[str] = "a sort of each layer"

    def scores(self, seen: Observation) -> Tensors:
        """In (0, 1]; the largest weight of each layer has 1."""
        found = {}
        for name, weight in seen.weights.items():
            squares, order = weight.double().square().flatten().sort(stable=True)
            above = squares.flip(0).cumsum(0).flip(0)
            scores = torch.empty_like(squares).scatter_(0, order, squares / above)
            found[name] = scores.nan_to_num(0).reshape(weight.shape)
        return found


class Taylor(Criterion):
    """(gradient · weight)²: the squared change of the loss without the weight, to first order.

    The gradient is that of the mean loss of a batch; squares are averaged over the batches.
    """

    name: ClassVar[str] = "taylor"
    reference: ClassVar[str] = "Molchanov et al. 2019, arXiv 1906.10771, equation 8"
    cost: ClassVar[str] = "a forward and a backward pass per image"
    needs_data: ClassVar[bool] = True

    def scores(self, seen: Observation) -> Tensors:
        """0 or more, in units of the squared loss."""
        return seen.mean(lambda weight, gradient: (weight * gradient).square())


class Snip(Criterion):
    """|gradient · weight|, by the gradient of the mean loss over all calibration images."""

    name: ClassVar[str] = "snip"
    reference: ClassVar[str] = "Lee et al. 2019, arXiv 1810.02340, equation 5"
    cost: ClassVar[str] = "a forward and a backward pass per image"
    needs_data: ClassVar[bool] = True

    def scores(self, seen: Observation) -> Tensors:
        """0 or more; the paper's division by their sum changes no order."""
        with seen.own_statistics():
            gradients = seen.mean_gradient()
        return {
            name: (gradients[name] * weight.detach()).abs()
            for name, weight in seen.parameters().items()
        }


class IterativeSnip(Snip):
    """SNIP in 20 steps, the density falling by the same factor in each."""

    name: ClassVar[str] = "iterative_snip"
    reference: ClassVar[str] = "de Jorge et al. 2021, arXiv 2006.09081, algorithm 1"
    cost: ClassVar[str] = "20 forward and backward passes per image"
    rounds: ClassVar[int] = 20


class Grasp(Criterion):
    """Weights whose removal lowers the flow of gradients most are kept: w · (H g).

    The logits are divided by 200, as in the public code.
    """

    name: ClassVar[str] = "grasp"
    reference: ClassVar[str] = "Wang et al. 2020, arXiv 2002.07376, equation 8"
    cost: ClassVar[str] = "about four forward and backward passes per image"
    needs_data: ClassVar[bool] = True
    temperature: ClassVar[float] = 200.0

    def scores(self, seen: Observation) -> Tensors:
        """Any number; negative where removal makes the gradients flow better."""

        def loss(logits: Tensor, labels: Tensor) -> Tensor:
            return functional.cross_entropy(logits / self.temperature, labels)

        weights, total, count = seen.parameters(), seen.zeros(), 0
        values = list(weights.values())
        with seen.own_statistics():
            mean = [gradient.detach() for gradient in seen.mean_gradient(loss).values()]
            for images, labels in seen.batches():
                count += len(labels)
                value = loss(seen.network(images), labels)
                gradients = torch.autograd.grad(value, values, create_graph=True)
                # g is that of all images, and Hg the mean over the batches
                products = [(a * b).sum() for a, b in zip(gradients, mean, strict=True)]
                along = torch.stack(products).sum()
                for name, part in zip(weights, torch.autograd.grad(along, values), strict=True):
                    total[name] += len(labels) * part
        return {name: weight.detach() * total[name] / count for name, weight in weights.items()}


class SynFlow(Criterion):
    """|w| · ∂R/∂|w| of R, the sum of the logits of an image of ones under absolute weights.

    In 100 steps, the density falling by the same factor in each; no layer collapses, since the
    scores that enter a layer sum to those that leave it. Biases and means of batch normalisation
    count as 0, and normalisation by an image's own statistics as its scale: else that would not
    hold. In float64, since R is a product over all layers.
    """

    name: ClassVar[str] = "synflow"
    reference: ClassVar[str] = "Tanaka et al. 2020, arXiv 2006.05467, algorithm 1"
    cost: ClassVar[str] = "100 forward and backward passes of one image"
    needs_network: ClassVar[bool] = True
    rounds: ClassVar[int] = 100

    def scores(self, seen: Observation) -> Tensors:
        """0 or more; 0 for weights that no path from the images to the logits leads through."""
        network, weights = seen.network.double(), seen.parameters()
        with torch.no_grad():
            for name, value in (*network.named_parameters(), *network.named_buffers()):
                if value.is_floating_point():
                    shift = name.rpartition(".")[2] in ("bias", "running_mean")
                    value.zero_() if shift else value.abs_()
        channels, *sides = seen.image_shape
        with _Scaled():
            flow = network(next(iter(weights.values())).new_ones(1, channels, *sides)).sum()
            gradients = torch.autograd.grad(flow, list(weights.values()))
        return {
            name: (weight.detach() * gradient).abs()
            for (name, weight), gradient in zip(weights.items(), gradients, strict=True)
        }


class _Scaled(TorchFunctionMode):
    """Normalisation by an image's own statistics becomes its scale.

    Which axis that goes along is known where the function is called: modules turn their inputs in
    ways of their own (timm's and torchvision's `LayerNorm2d`). Normalisation that a module spells
    out in other operations stays as it is.
    """

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        """Run `func`, without the division where it normalises."""
        kwargs = kwargs or {}
        if func not in (functional.layer_norm, functional.rms_norm, functional.group_norm):
            return func(*args, **kwargs)
        # The scale is the third argument of each of them.
        inputs = args[0] if args else kwargs["input"]
        scale = args[2] if len(args) > 2 else kwargs.get("weight")
        if scale is None:
            return inputs
        if func is functional.group_norm:
            scale = scale.reshape(-1, *[1] * (inputs.ndim - 2))
        return inputs * scale


class Fisher(Criterion):
    """½ w² · mean squared gradient of single images: the diagonal empirical Fisher matrix."""

    name: ClassVar[str] = "fisher"
    reference: ClassVar[str] = "Theis et al. 2018, arXiv 1801.05787, equation 8"
    cost: ClassVar[str] = "a forward and a backward pass per image, one image at a time"
    needs_data: ClassVar[bool] = True

    def scores(self, seen: Observation) -> Tensors:
        """0 or more: the growth of the loss, to second order, where gradients vanish on average."""
        return seen.mean(lambda weight, gradient: (weight * gradient).square() / 2, batch_size=1)


class Movement(Criterion):
    """-Σ w · gradient over the steps of a training: weights that move away from zero stay.

    The training is one pass of plain SGD over the calibration images. It moves a copy: the weights
    that are pruned are those from before.
    """

    name: ClassVar[str] = "movement"
    reference: ClassVar[str] = "Sanh et al. 2020, arXiv 2005.07683, equation 4"
    cost: ClassVar[str] = "a forward and a backward pass per image"
    needs_data: ClassVar[bool] = True
    learning_rate: ClassVar[float] = 0.01

    def scores(self, seen: Observation) -> Tensors:
        """Negative for weights that shrink."""
        total, weights = seen.zeros(), seen.parameters()
        # each batch's gradient is taken where the steps before it have led
        for _, gradients in seen.gradients():
            with torch.no_grad():
                for name, weight in weights.items():
                    total[name] -= weight * gradients[name]
                    weight -= (
                        self.learning_rate
                        * gradients[name]
                        * (seen.weights[name] != 0).to(weight.device)
                    )
        return total


class Wanda(Criterion):
    """|w| · the length of the vector of inputs that the weight is multiplied with.

    The paper compares weights of one output: take `scope: output`.
    """

    name: ClassVar[str] = "wanda"
    reference: ClassVar[str] = "Sun et al. 2024, arXiv 2306.11695, equation 1"
    cost: ClassVar[str] = "a forward pass per image"
    needs_data: ClassVar[bool] = True

    def scores(self, seen: Observation) -> Tensors:
        """0 or more."""
        squares: Tensors = {}

        def add(name: str, inputs: Tensor) -> None:
            # [N, groups, columns, places]
            squares[name] = squares.get(name, torch.zeros(())) + inputs.square().sum((0, 3)).cpu()

        layers = layer_inputs(seen, add)
        return {
            name: (
                matrices(weight.detach().abs().cpu(), layers[name])
                * squares[name].sqrt()[:, None, :]
            ).reshape(weight.shape)
            for name, weight in seen.weights.items()
        }


class Obs(Criterion):
    """Layer-wise optimal brain surgeon: what falls is made up for by the survivors of its output.

    Each layer keeps its outputs on the calibration images as well as it can. Scores are the losses
    of single weights, w² / (2 [H⁻¹]_jj), which compare weights of one layer: take another scope
    than `global`. `adapt` prunes one column after the other, in one sweep.
    """

    name: ClassVar[str] = "obs"
    reference: ClassVar[str] = (
        "Frantar and Alistarh 2023, arXiv 2301.00774; Frantar et al. 2022, arXiv 2208.11580"
    )
    cost: ClassVar[str] = (
        "a forward pass per image, and for each layer the inverse of a matrix with a row per input"
    )
    needs_data: ClassVar[bool] = True
    adapts_weights: ClassVar[bool] = True
    #: share of the mean of the Hessian's diagonal that is added to it
    damping: ClassVar[float] = 0.01

    def scores(self, seen: Observation) -> Tensors:
        """0 or more: growth of a layer's squared error once the rest of its output has adapted."""
        hessians, layers = input_hessians(seen)
        found = {}
        for name, weight in seen.weights.items():
            damped = add_damping(hessians[name], self.damping, torch.float64)
            inverse = torch.cholesky_inverse(cholesky(damped, self.name, self.damping))
            rows = matrices(weight.detach().cpu().double(), layers[name])
            losses = rows.square() / (2 * inverse.diagonal(dim1=1, dim2=2)[:, None, :])
            # what nothing ever enters costs nothing
            losses *= columns_with_signal(hessians[name])[:, None, :]
            found[name] = losses.reshape(weight.shape)
        return found

    def adapt(self, seen: Observation, masks: Tensors) -> tuple[Tensors, Tensors]:
        """See `Criterion.adapt`."""
        hessians, layers = input_hessians(seen)
        solver = ObsFast(damping=self.damping)
        kept: Tensors = {}
        for name, weight in seen.weights.items():
            layer, falls = layers[name], (~matrices(masks[name], layers[name])).sum((1, 2))
            solved = solver.solve(
                matrices(weight.detach().cpu(), layer).contiguous(),
                hessians[name],
                falls,
                layer.block,
                None,
            )
            kept[name] = solved.reshape(weight.shape)
        return {name: weight != 0 for name, weight in kept.items()}, kept


class Relevance(Criterion):
    """The relevance that passes through a weight on the way from an image's class to its pixels.

    Layer-wise relevance propagation by the composite `epsilon_plus`: positive contributions in
    convolutions, the epsilon rule in linear layers. Summed over the calibration images, each
    explained for its own class; the absolute value counts.
    """

    name: ClassVar[str] = "relevance"
    reference: ClassVar[str] = (
        "Yeom et al. 2021, arXiv 1912.08881; Hatefi et al. 2024, arXiv 2408.12568"
    )
    cost: ClassVar[str] = "about seven forward passes per image"
    needs_data: ClassVar[bool] = True

    def scores(self, seen: Observation) -> Tensors:
        """0 or more, in units of the logit."""
        return {name: value.abs() for name, value in self.signed(seen).items()}

    def signed(self, seen: Observation) -> Tensors:
        """The sums with their signs; without biases, each layer's is that of the logits."""
        total = {name: torch.zeros(weight.shape) for name, weight in seen.weights.items()}

        def add(name: str, module: nn.Module, *flow: Tensor) -> None:
            weight = f"{name}.weight"
            if weight in total:
                total[weight] += weight_relevance(module, *flow).cpu()

        # nothing of it is random
        rules, nothing = Lrp(composite="epsilon_plus"), torch.zeros(0, dtype=torch.int64)
        for images, labels in seen.batches():
            rules.propagate(ImageBatch(seen.network, images, labels, nothing), add)
        return total


def weight_relevance(
    module: nn.Module, inputs: Tensor, outputs: Tensor, relevance: Tensor
) -> Tensor:
    """What each weight of a layer hands down of the `relevance` of its outputs.

    Convolutions by the rule that takes positive contributions, inputs and weights of one sign;
    linear layers by the epsilon rule. All arrays as in the forward pass.
    """
    whole: Any = module.weight
    weight = whole.detach()
    parts = [(inputs, weight)]
    if isinstance(module, nn.Conv2d):
        parts = [
            (inputs.clamp(min=0), weight.clamp(min=0)),
            (inputs.clamp(max=0), weight.clamp(max=0)),
        ]
        outputs = _outputs(module, *parts[0]) + _outputs(module, *parts[1])
    share = relevance / (outputs + torch.where(outputs < 0, -_STABILISER, _STABILISER))
    found = torch.zeros_like(weight)
    for entering, values in parts:
        variable = values.clone().requires_grad_()
        with torch.enable_grad():
            given = _outputs(module, entering, variable)
            (gradient,) = torch.autograd.grad(given, variable, share)
        found += values * gradient
    return found


def _outputs(module: nn.Module, inputs: Tensor, weight: Tensor) -> Tensor:
    """A layer's outputs with other weights and without its bias."""
    if isinstance(module, nn.Conv2d):
        found: Tensor = module._conv_forward(inputs, weight, None)
        return found
    return functional.linear(inputs, weight)


def layer_inputs(
    seen: Observation, receive: Callable[[str, Tensor], None]
) -> dict[str, PrunedLayer]:
    """Hand the inputs of every layer to `receive`, batch by batch, as `unfold_inputs` gives them.

    Returns the layer of each prunable weight. Raises InputError for weights whose layer is no
    two-dimensional convolution or linear layer, or did not run.
    """
    modules = dict(seen.network.named_modules())
    layers, weights = {}, {}
    for weight in seen.weights:
        name, _, kind = weight.rpartition(".")
        if kind != "weight" or not isinstance(modules[name], nn.Conv2d | nn.Linear):
            raise InputError(
                f"the inputs of {weight} are not known: it belongs to no two-dimensional "
                "convolution and no linear layer; choose a criterion that does not ask for them"
            )
        layers[weight], weights[name] = layer_of(name, modules[name]), weight
    ran: set[str] = set()

    def observe(name: str, module: nn.Module, inputs: Tensor) -> None:
        ran.add(weights[name])
        receive(weights[name], unfold_inputs(module, inputs))

    with torch.no_grad(), observed_inputs(seen.network, list(weights), observe):
        for images, _ in seen.batches():
            seen.network(images)
    if silent := layers.keys() - ran:
        raise InputError(
            f"{sorted(silent)[0]} does not run as a module of its own, so that its inputs are not "
            "known; choose a criterion that does not ask for them"
        )
    return layers


def input_hessians(seen: Observation) -> tuple[dict[str, Tensor], dict[str, PrunedLayer]]:
    """(2/N) X Xᵀ over the N inputs of each layer, [groups, K, K] on the CPU, and the layers."""
    sums: dict[str, Tensor] = {}
    counts: dict[str, int] = {}

    def add(name: str, inputs: Tensor) -> None:
        columns = inputs.permute(1, 2, 0, 3).flatten(2)
        product = columns @ columns.transpose(1, 2)
        sums[name] = sums[name].add_(product) if name in sums else product
        counts[name] = counts.get(name, 0) + columns.shape[2]

    layers = layer_inputs(seen, add)
    return {name: (2 / counts[name]) * value.cpu() for name, value in sums.items()}, layers
