"""Which epoch's network a training keeps, and what the others were like."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from sparsight.data.packed import TrainingSplit, load_training_split
from sparsight.io.checkpoints import Tensors
from sparsight.io.errors import InputError
from sparsight.training.options import SELECTIONS


class Judge:
    """Accuracy of a network on a clean split, which stays on the device as uint8.

    Parameters
    ----------
    path : packed split, read when it is first asked.
    batch_size : images a forward pass.
    device : of the networks.
    """

    def __init__(self, path: Path, batch_size: int, device: torch.device) -> None:
        self.path, self.batch_size, self.device = path, batch_size, device
        self._split: TrainingSplit | None = None

    @torch.no_grad()
    def __call__(self, network: nn.Module) -> float:
        """Share of correct images, 0 to 1; the network's mode is as before afterwards."""
        if self._split is None:
            self._split = load_training_split(self.path, self.device)
        split, training = self._split, network.training
        network.eval()
        correct = torch.zeros((), dtype=torch.int64, device=self.device)
        for pixels, labels in zip(
            split.pixels.split(self.batch_size), split.labels.split(self.batch_size), strict=True
        ):
            correct += (network(pixels.float() / 255).argmax(1) == labels).sum()
        network.train(training)
        return correct.item() / len(split)


@dataclass(frozen=True)
class Outcome:
    """What a training gave.

    Attributes
    ----------
    rule : by which the network was selected.
    epoch : after how many epochs of the recipe it is what was kept.
    history : one entry per epoch that was trained: epoch, rate, loss, accuracy (both over the
        batches as they were trained), and the accuracy on the split that was judged, if any.
    last : state after the last epoch, on the CPU; None when that is the selected one.
    """

    rule: str
    epoch: int
    history: list[dict[str, Any]]
    last: Tensors | None = None


@dataclass
class Selection:
    """Follows a training and keeps the best network so far.

    Parameters
    ----------
    rule : `last`, `best_validation` or `best_test`.
    judges : split to judge. The rule's own must be there; under `last`, `validation` is asked for
        the log and the history where it is there.

    Raises
    ------
    InputError
        When the judge of the rule is missing.
    """

    rule: str
    judges: Mapping[str, Judge]
    history: list[dict[str, Any]] = field(default_factory=list)
    best: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        wanted = SELECTIONS[self.rule]
        if wanted and wanted not in self.judges:
            raise InputError(
                f"'select: {self.rule}' needs images in the split '{wanted}'; set some aside, or "
                "take 'select: last'"
            )
        self.split = wanted or "validation"

    def after_epoch(self, network: nn.Module, facts: dict[str, Any]) -> float | None:
        """Judge the network after an epoch; the judged split's accuracy, None without one.

        Parameters
        ----------
        facts : `epoch` (how many are done) and others of the history.
        """
        judged = self.judges[self.split](network) if self.split in self.judges else None
        known = {} if judged is None else {f"{self.split}_accuracy": judged}
        self.history.append({**facts, **known})
        if judged is not None and self.rule != "last" and self._is_best(judged):
            state = cpu_state(network)
            self.best = {"epoch": facts["epoch"], "accuracy": judged, "network": state}
        return judged

    def _is_best(self, judged: float) -> bool:
        # the earliest of equals stays
        return self.best is None or judged > self.best["accuracy"]

    def state(self) -> dict[str, Any]:
        """What a resumed training needs."""
        return {"history": list(self.history), "best": self.best}

    def resume(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` gave."""
        self.history, self.best = list(state["history"]), state["best"]

    def finish(self, network: nn.Module, epoch: int) -> Outcome:
        """Load the selected network after `epoch` epochs."""
        if self.best is None or self.best["epoch"] == epoch:
            return Outcome(self.rule, epoch, self.history)
        last = cpu_state(network)
        network.load_state_dict(self.best["network"])
        return Outcome(self.rule, self.best["epoch"], self.history, last)


def cpu_state(network: nn.Module) -> Tensors:
    """A copy of parameters and buffers on the CPU."""
    return {name: value.detach().cpu().clone() for name, value in network.state_dict().items()}
