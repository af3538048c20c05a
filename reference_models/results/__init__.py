"""Scores of trained models beside published ones."""
