"""Pure figures about arrays: baselines, metrics, degradations, spectra, intervals."""
