"""Analyze every frame of a video in one reduced decode, for detectors and measures."""
