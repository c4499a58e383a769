"""Ways to compute a float32 product: one file a library, one base class that says what a backend owes."""
