"""The sizes that all measurements share."""

LENGTH = 4096
BATCH = 2
HEADS = 2
WIDTH = 32  # of a head: E
DIM = HEADS * WIDTH
KEPT = (LENGTH, 3000)  # tokens of each sequence, where a mask is used: padding is at the end
