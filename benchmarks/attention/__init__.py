"""Our attentions against public ports of the same models: CPU seconds of a forward and a backward pass.

    python -m benchmarks.attention [--models NAME …] [--rounds 11] [--ports DIR] [--beside DIR] [--out FILE]

The ports are installed from PyPI, each alone and without its dependencies, into a folder of their own, where they share
this environment's PyTorch. A port that does not install, import or run is listed with its error. `--beside DIR` also
measures the attentions of another checkout in the same rounds.
"""
