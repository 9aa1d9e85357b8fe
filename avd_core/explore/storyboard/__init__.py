"""A long video as a strip of distilled images, and back."""
