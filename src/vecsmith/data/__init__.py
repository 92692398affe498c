"""What goes in: inputs, documents, records and batches."""
