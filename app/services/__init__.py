"""What the page does, without its layout: results, runs, downloads, people's sessions."""
