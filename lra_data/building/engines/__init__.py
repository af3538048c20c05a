"""Engines, which run the jobs of a build, and the worker processes of the local engine."""
