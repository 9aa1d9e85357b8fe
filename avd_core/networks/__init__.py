"""Encoder, decoder and discriminator, their checkpoints and the calibration of realism."""
