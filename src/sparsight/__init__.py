"""Sparsight: what pruning a vision network does to its explanations."""
