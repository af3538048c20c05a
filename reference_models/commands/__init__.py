"""The lra-zoo command."""
