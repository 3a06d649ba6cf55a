"""How answers are written: texts, tables, pages, and the terminal or file they go to."""
