"""Publish a trained model on the Hub."""
