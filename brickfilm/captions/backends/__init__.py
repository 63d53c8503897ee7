"""Clients of captioning services: one file or folder for each."""
