"""``make demo``: networks with a healthy and with a vanishing gradient, trained side by side on real digits."""
