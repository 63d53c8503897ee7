"""Caption clips and images with a vision model: prompts, requests, replies, prices, lint rules."""
