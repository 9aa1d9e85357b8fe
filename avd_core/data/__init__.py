"""Clips to train and measure on: folders, official splits, packs, synthetic scenes."""
