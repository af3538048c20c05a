"""Grey values, equal to the last bit to `tf.image.rgb_to_grayscale` of uint8, which LRA casts to int32.

TensorFlow converts the channels to float32 in [0, 1], weights them (ITU-R BT.601; the weights add up to 0.9999), and
converts the sum back: x 255.5, truncated (tensorflow/python/ops/image_ops_impl.py, convert_image_dtype). Each step
rounds to float32; nothing is fused. A grey picture does not change. Pillow's `convert("L")` rounds instead of
truncating, and is 1 brighter for a quarter of all colours.
"""

import numpy as np
from numpy.typing import NDArray

_TO_UNIT = np.float32(1 / 255)
_WEIGHTS = (np.float32(0.2989), np.float32(0.5870), np.float32(0.1140))
_TO_BYTE = np.float32(255.5)


def grey(red: NDArray[np.uint8], green: NDArray[np.uint8], blue: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The grey level of each pixel: three uint8 arrays of one shape to one uint8 array of that shape."""
    # Separate NumPy calls, each of which rounds: a compiler may not fuse them.
    r, g, b = (channel.astype(np.float32) * _TO_UNIT for channel in (red, green, blue))
    level = (r * _WEIGHTS[0] + g * _WEIGHTS[1]) + b * _WEIGHTS[2]
    levels: NDArray[np.uint8] = (level * _TO_BYTE).astype(np.uint8)
    return levels
