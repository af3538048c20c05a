"""The parts of torch_batches: loader, map-style examples, tensors, and workers."""
