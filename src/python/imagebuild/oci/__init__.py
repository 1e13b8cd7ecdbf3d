"""Values of the OCI image-spec and distribution-spec: frozen, without effects."""
