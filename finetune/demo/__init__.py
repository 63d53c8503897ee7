"""A web page that samples from a trained model."""
