"""The local content-addressed store: blobs, extracted layers, indexes and records, shared by many processes."""
