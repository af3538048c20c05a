"""Tests of lra_data. Oracles, which share no code with what they check, are in `oracles/`."""
