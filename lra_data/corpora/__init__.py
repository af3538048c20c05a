"""Shared by the tasks that convert a corpus: safe reading of archives, downloads, and orders that follow from names."""
