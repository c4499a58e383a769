"""The rows of all tables. A table is declared here once; terminal, Markdown, page, notebook and CSV only print it."""
