"""What is multiplied: shapes, presets of shapes, and the operands in shared memory."""
