"""One clip looked at from all sides: explore, compare, probe, batch and storyboard."""
