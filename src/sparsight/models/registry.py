"""The network architectures by name."""

from sparsight.registration import Registry

MODELS = Registry("architecture", {"thesis_cnn": "sparsight.models.thesis_cnn:ThesisCnn"})
