"""The trainer, its losses and data changes, and a training as a run."""
