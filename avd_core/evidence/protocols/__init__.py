"""The protocols of the evidence, one file each; what they share is the gallery of images, read and made once."""
