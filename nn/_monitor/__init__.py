"""Watching a training run: statistics of activations and gradients, and what they say."""
