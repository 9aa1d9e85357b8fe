"""What one image of a clip is worth, measured: the runner, its protocols and its reports."""
