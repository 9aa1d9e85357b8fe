"""Results as HTML, one file for each part of the page."""
