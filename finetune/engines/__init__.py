"""Parallel engines behind one protocol (`engine`): one device or DDP, FSDP2, ZeRO, Gemini."""
