"""The concept methods by name."""

from sparsight.registration import Registry

CONCEPTS: Registry = Registry("concept method", {})
