"""From a dataset's rows to batches: buckets, windows, the index, the sampler, the loader."""
