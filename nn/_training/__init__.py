"""Training: the loop, its data, what it reports, and what may be hung into it."""
