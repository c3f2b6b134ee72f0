"""Performance, as ratios in one run: machines are shared and noisy, ratios hold."""
