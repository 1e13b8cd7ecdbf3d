"""A client of the OCI distribution-spec.

`wire` and what it imports need `requests`; nothing else does, and it is loaded by the first client.
"""
