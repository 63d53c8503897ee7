"""Asking a vision model for captions: prompts, requests, answers, prices, rules."""
