"""Image: the pictures of CIFAR-10, read pixel by pixel in grey or in colour."""
