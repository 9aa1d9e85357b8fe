"""The run directory, the process that trains in it, and everybody's queue of runs."""
