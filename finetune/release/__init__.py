"""Publish a trained model."""
