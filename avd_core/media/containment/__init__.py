"""Strangers' files read in processes of their own."""
