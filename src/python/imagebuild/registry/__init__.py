"""A client of the OCI distribution-spec.

`wire` and what it imports need `urllib3`; nothing else does, and it is loaded by the first client.
"""
