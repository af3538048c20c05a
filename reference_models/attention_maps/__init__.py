"""What an attention looks at: pictures, and the distance that it spans."""
