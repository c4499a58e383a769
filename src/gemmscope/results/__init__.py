"""What a run leaves behind: typed records, a journal while it goes on, and one file when it is done."""
