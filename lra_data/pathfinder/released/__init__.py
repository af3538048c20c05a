"""Pictures of the original release: their layout, their conversion, and the audit of a copy."""
