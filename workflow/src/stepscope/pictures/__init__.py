"""Pictures: decoding them, and finding the regions of words in them."""
