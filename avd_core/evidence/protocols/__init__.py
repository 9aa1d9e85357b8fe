"""The evaluation protocols, one file each; they share a `FeatureCache`."""
