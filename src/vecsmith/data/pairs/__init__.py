"""One file per way to get pairs of a query and a document out of a source."""
