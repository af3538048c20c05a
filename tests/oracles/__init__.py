"""Slow, independent restatements of the project's written laws, against which the tests hold the fast code."""
