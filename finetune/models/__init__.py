"""Networks: STDiT2 and its two frozen encoders."""
