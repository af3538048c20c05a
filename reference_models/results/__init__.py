"""Scores of trained models next to published ones."""
