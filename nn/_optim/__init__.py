"""Optimisers, schedules of learning rates, bounds on gradients."""
