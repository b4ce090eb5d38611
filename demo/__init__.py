"""``make demo``: networks trained on real digits, judged, derived and drawn."""
