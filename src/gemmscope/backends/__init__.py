"""Ways to multiply float32 matrices: one file per library, and one base class that is the contract."""
