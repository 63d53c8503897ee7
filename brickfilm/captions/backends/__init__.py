"""Clients of captioning services, one file each."""
