"""Optimisers, learning-rate schedules, gradient clipping."""
