"""Caption clips and images with a vision model: prompts, requests, replies, prices, lint rules."""

from brickfilm.captions.backend import (
    Backend,
    BackendConnection,
    BatchBackend,
    Capabilities,
    ChatMessage,
    ChatRequest,
    Completion,
    ModelInfo,
    Service,
    UnreadableResponse,
    Usage,
)

__all__ = [
    "Backend",
    "BackendConnection",
    "BatchBackend",
    "Capabilities",
    "ChatMessage",
    "ChatRequest",
    "Completion",
    "ModelInfo",
    "Service",
    "UnreadableResponse",
    "Usage",
]
