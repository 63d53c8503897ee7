"""Training data: the index, buckets, windows, latent cache, sampler and loader."""
