"""Builds on clusters: what engines and parts cost over local processes, and what the end of a large build costs.

python -m benchmarks.clusters engines     # 20,000 images of Path-X: local, parts, and each engine that is installed
python -m benchmarks.clusters finish      # markers, digests and duplicates of 3 * 10^7 simulated rows
"""
