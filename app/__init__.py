"""The page: layout, wiring and rendering. What is true without a browser is in `avd_core`."""
