"""The pages that commands show: from a question to rows for a reader and a document for programs."""
