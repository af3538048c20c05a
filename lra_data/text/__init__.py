"""Text: the sentiment of IMDb reviews, read byte by byte."""
