"""Speed and memory of the X-formers by length: LRA's Table 2."""
