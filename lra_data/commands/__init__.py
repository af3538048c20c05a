"""The lra-data command."""
