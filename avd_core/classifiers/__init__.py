"""Image classifiers by name, where they look, and the bundled action classifier."""
