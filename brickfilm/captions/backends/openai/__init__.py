"""Clients of Chat Completions services and of the Batch API."""

from brickfilm.captions.backends.openai.client import Client, ContentFiltered, Service

__all__ = ["Client", "ContentFiltered", "Service"]
