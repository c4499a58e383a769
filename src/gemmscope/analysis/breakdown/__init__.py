"""Where the time of a call goes: the parts of a call on the processor, and on a GPU."""
