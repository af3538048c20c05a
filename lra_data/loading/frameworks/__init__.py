"""Loaders for PyTorch, JAX, grain, TensorFlow, Hugging Face and webdataset. Only these modules import a framework."""
