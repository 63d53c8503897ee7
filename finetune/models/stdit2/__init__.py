"""STDiT2, its VAE and its text encoder."""
