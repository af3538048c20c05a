"""Which positions an attention looks at: pictures, and the attention span."""
