"""Scores of predictions; nothing here needs a deep-learning framework."""
