"""Files in and out: video, zips of clips, and the distilled PNG."""
