"""The tabs of the page, one file and one builder each; they do not know each other."""
