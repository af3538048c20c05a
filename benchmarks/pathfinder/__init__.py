"""Speed of the Pathfinder generator (`python -m benchmarks.pathfinder`), and agreement of the tracer with labels."""
