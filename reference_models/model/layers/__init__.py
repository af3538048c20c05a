"""The parts of a model around its attentions: stems in front, and what is between pooling and head."""
