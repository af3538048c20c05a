"""Pathfinder and Path-X: two long contours among distractors; are the two marked ends on the same contour?

`docs/pathfinder_draws.md` describes the draws.
"""
