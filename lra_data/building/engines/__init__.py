"""Engines: who runs the jobs of a build, and the worker processes of the local one."""
