"""ColossalAI engines: ZeRO and Gemini."""
