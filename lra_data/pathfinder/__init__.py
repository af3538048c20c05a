"""Pathfinder and Path-X: two long contours among distractors; are the two marked ends on the same one?

Law of the draws: `docs/pathfinder_draws.md`.
"""
