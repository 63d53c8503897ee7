"""Build a dataset: run the stages over a source, then the final pass, then write."""
