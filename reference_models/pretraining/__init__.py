"""Self pre-training: an encoder learns the inputs of its own task before a classifier learns the labels."""
