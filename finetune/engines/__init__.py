"""Parallel engines behind one protocol: one device or DDP, FSDP2, ColossalAI's ZeRO and Gemini."""
