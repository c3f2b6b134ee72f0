"""Rotation: credentials are replaced while everybody goes on logging in."""
