"""How fast a training goes, and how much of that goes into making batches."""

import time
from itertools import pairwise
from typing import Any

import torch


class Stopwatch:
    """Time of an epoch's two phases: making batches, and learning from them.

    A GPU works behind the program's back; there the phases are timed by its own events, which cost
    no waiting before the epoch ends.
    """

    def __init__(self, device: torch.device) -> None:
        self._cuda = device.type == "cuda"
        self._marks: list[Any] = []
        self.mark()

    def mark(self) -> None:
        """A phase ends: first the making of a batch, then the learning from it, in turn."""
        if self._cuda:
            event = torch.cuda.Event(enable_timing=True)
            event.record()
            self._marks.append(event)
        else:
            self._marks.append(time.perf_counter())

    def seconds(self) -> tuple[float, float]:
        """Seconds spent making batches and learning from them, so far."""
        if self._cuda:
            self._marks[-1].synchronize()
            spans = [a.elapsed_time(b) / 1000 for a, b in pairwise(self._marks)]
        else:
            spans = [b - a for a, b in pairwise(self._marks)]
        return sum(spans[::2]), sum(spans[1::2])
