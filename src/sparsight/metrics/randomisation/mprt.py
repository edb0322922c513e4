"""Model parameter randomisation: does an explanation change when the network forgets everything?"""

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from sparsight.io.errors import InputError
from sparsight.metrics.agreement.base import shows_nothing
from sparsight.metrics.agreement.ranks import spearman
from sparsight.metrics.base import Explain, Metric, per_image
from sparsight.metrics.explaining import require_explainer
from sparsight.metrics.randomisation.networks import ORDERS, NetworkRandomiser
from sparsight.metrics.randomness import image_generators


def histogram_entropy(maps: Tensor, bins: int) -> Tensor:
    """Entropy of how a map's values spread over equal bins between its least and its greatest.

    -Σ pⱼ ln pⱼ, pⱼ the share of the pixels in bin j; the last bin holds the greatest value too, as
    in numpy.histogram. Scale and offset of a map do not matter.

    Parameters
    ----------
    maps : float32 [N, H, W].
    bins : 2 or more.

    Returns
    -------
    float64 [N] in (0, ln bins], in nats; NaN for a map that `shows_nothing`.
    """
    values = per_image(maps).to(torch.float64)
    lowest, highest = values.amin(dim=1, keepdim=True), values.amax(dim=1, keepdim=True)
    undefined = shows_nothing(maps)
    places = ((values - lowest) / (highest - lowest) * bins).masked_fill(undefined[:, None], 0)
    places = places.long().clamp_max(bins - 1)
    rows = torch.arange(len(maps), device=maps.device).unsqueeze(1) * bins
    counts = torch.bincount((places + rows).flatten(), minlength=len(maps) * bins)
    shares = counts.view(len(maps), bins).to(torch.float64) / values.shape[1]
    # `entr` is -p ln p, and 0 at 0.
    entropy: Tensor = torch.special.entr(shares).sum(dim=1)
    return entropy.masked_fill(undefined, torch.nan)


class EfficientMprt(Metric):
    """Rise of the explanation's complexity when all layers of the network are random.

    (H(ê) - H(e)) / H(e), with e the map of the network, ê that of a copy whose layers are all drawn
    anew, and H the `histogram_entropy`: the paper's eMPRT and quantus.EfficientMPRT with their
    defaults (100 bins, signed values as they are). What a random network looks for is less ordered,
    so the complexity of a faithful explanation rises; 0 for one that does not look at the network.

    The value is the mean over `draws` copies. An empty map is undefined: for a copy whose map of an
    image is constant that copy is left out of the image's mean, and the value is NaN where all are,
    or where the network's own map is constant (quantus refuses such maps). With class activation
    maps, whose negative values are cut off, the weights of one draw decide for a class whether its
    maps are empty, for all of its images at once: with one draw, or few, whole classes can be
    missing, so look at the count of images beside the number.

    Copies are drawn as `NetworkRandomiser` says, once for all images; see there for batch norms and
    pruned weights. quantus makes one, and seeds all layers alike, so that layers of one size become
    equal.

    Parameters
    ----------
    bins : of the histogram.
    draws : number of random copies, each of which takes one explanation.
    seed : of the random weights of the first copy; the others have the next whole numbers.
    keep_sparsity : whether pruned weights stay 0.
    """

    name = "efficient_mprt"
    reference = (
        "Hedström et al. 2024, arXiv:2401.06465; the test: Adebayo et al., NeurIPS 2018, "
        "arXiv:1810.03292"
    )
    category = "randomisation"
    direction = "higher"
    unit = "relative rise of entropy, -1 or more"
    needs = ("model", "explainer")
    treatment = "signed"
    normalisation = "none"
    mask_rule = "none"
    parameters: ClassVar[dict[str, Any]] = {
        "bins": 100,
        "draws": 3,
        "seed": 0,
        "keep_sparsity": True,
    }

    def __init__(self, **parameters: Any) -> None:
        super().__init__(**parameters)
        for key, least in (("bins", 2), ("draws", 1)):
            if self.settings[key] < least:
                raise InputError(
                    f"metric {self.name}: parameter '{key}' is {self.settings[key]}, it must be "
                    f"{least} or more"
                )
        seed, keep_sparsity = self.settings["seed"], self.settings["keep_sparsity"]
        self._randomisers = [
            NetworkRandomiser(seed + draw, keep_sparsity) for draw in range(self.settings["draws"])
        ]

    def score(
        self,
        attributions: Tensor,
        images: Tensor,
        targets: Tensor,
        masks: Tensor | None,
        model: nn.Module | None = None,
        explain: Explain | None = None,
    ) -> Tensor:
        """float32 [N]; see `Metric.score` and the class."""
        network, again = require_explainer(self, model, explain)
        bins = self.settings["bins"]
        before = histogram_entropy(attributions, bins)
        maps = (again(one.randomised(network), images, targets) for one in self._randomisers)
        # The mean of differences: exactly 0 where all draws explain alike.
        rises = torch.stack([histogram_entropy(some, bins) - before for some in maps])
        return (rises.nanmean(dim=0) / before).to(torch.float32)


class SmoothMprt(Metric):
    """Rank correlation of smoothed explanations while the network's layers are drawn anew.

    One step for each stage of `layers`, at which more of the network is random, at the last all of
    it: Spearman's correlation of the map with that of the network as given. Both are means over
    `samples` noisy copies of the image, one of which is the image itself, so that
    `samples: 1` is the test of Adebayo et al. The noise is normal, with a standard deviation of
    `noise` times the image's range; copies are not cut to [0, 1], and all stages see the same. A
    table shows the mean over the steps. The network as given is no step: it would be 1.

    As quantus.SmoothMPRT with its defaults, of which three differ: quantus randomises layer by
    layer, which takes one explanation of all samples a layer (here evenly spread stages), draws
    other noise at each stage, and leaves 1 for the network as given in the mean. Its normalisation
    does not matter to ranks. NaN where a smoothed map is constant or holds NaN.

    The copies are drawn as `NetworkRandomiser` says; see there for batch norms and pruned weights.
    A score takes samples · (layers + 1) explanations.

    Parameters
    ----------
    samples : copies of each image that a map is the mean of.
    noise : standard deviation as a share of the image's range.
    layers : number of stages, evenly spread over the layers (batch norms count); each layer is a
        stage where there are fewer. The last stage is always the whole network.
    order : "bottom_up", as the paper advises, or "top_down", as in Adebayo et al., which keeps what
        the lower layers know for long.
    absolute : whether the absolute values of the smoothed maps are ranked.
    seed, keep_sparsity : see `EfficientMprt`.
    """

    name = "smooth_mprt"
    reference = (
        "Hedström et al. 2024, arXiv:2401.06465; the test: Adebayo et al., NeurIPS 2018, "
        "arXiv:1810.03292"
    )
    category = "randomisation"
    direction = "lower"
    unit = "rank correlation, -1 to 1"
    needs = ("model", "explainer")
    # Signs must cancel in the mean: absolute values are taken after it.
    treatment = "signed"
    normalisation = "none"
    mask_rule = "none"
    reducer = "mean"
    step_axis = "stages of layers drawn anew"
    parameters: ClassVar[dict[str, Any]] = {
        "samples": 50,
        "noise": 0.1,
        "layers": 5,
        "order": "bottom_up",
        "absolute": True,
        "seed": 0,
        "keep_sparsity": True,
    }

    def __init__(self, **parameters: Any) -> None:
        super().__init__(**parameters)
        for key, least in (("samples", 1), ("layers", 1), ("noise", 0)):
            if not self.settings[key] >= least:
                raise InputError(
                    f"metric {self.name}: parameter '{key}' is {self.settings[key]}, it must be "
                    f"{least} or more"
                )
        if self.settings["order"] not in ORDERS:
            raise InputError(
                f"metric {self.name}: parameter 'order' is '{self.settings['order']}', it must be "
                f"one of {', '.join(ORDERS)}"
            )
        self._randomiser = NetworkRandomiser(self.settings["seed"], self.settings["keep_sparsity"])

    def step_values(self) -> list[float]:
        """1, 2, ...: the network as given, stage 0, is no step."""
        return [float(stage) for stage in range(1, self.settings["layers"] + 1)]

    def score(
        self,
        attributions: Tensor,
        images: Tensor,
        targets: Tensor,
        masks: Tensor | None,
        model: nn.Module | None = None,
        explain: Explain | None = None,
    ) -> Tensor:
        """float32 [N, stages]; see `Metric.score` and the class."""
        network, again = require_explainer(self, model, explain)
        before = self._smoothed(network, images, targets, again)
        stages = self._randomiser.stages(network, self.settings["layers"], self.settings["order"])
        steps = [spearman(before, self._smoothed(one, images, targets, again)) for one in stages]
        return torch.stack(steps, dim=1)

    def _smoothed(
        self, model: nn.Module, images: Tensor, targets: Tensor, explain: Explain
    ) -> Tensor:
        """Mean map [N, H, W] over the noisy copies, one of each image at a time."""
        # The same numbers at every stage, without keeping them.
        generators = list(image_generators(images, self.name))
        spread = images.amax(dim=(1, 2, 3), keepdim=True) - images.amin(dim=(1, 2, 3), keepdim=True)
        total = explain(model, images, targets)
        for _ in range(self.settings["samples"] - 1):
            rows = [torch.randn(images.shape[1:], generator=one) for one in generators]
            noise = self.settings["noise"] * spread * torch.stack(rows).to(images)
            total = total + explain(model, images + noise, targets)
        mean: Tensor = total / self.settings["samples"]
        return mean.abs() if self.settings["absolute"] else mean
