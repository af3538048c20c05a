"""Positions: which epoch the next pass begins with, and where the current pass is."""
