"""From a decoded frame to a picture: transparency, interlacing, cropping, colours, size."""
