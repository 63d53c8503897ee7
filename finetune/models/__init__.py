"""The networks: STDiT2, and the two frozen encoders around it."""
