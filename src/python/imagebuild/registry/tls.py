"""TLS contexts: the system's certificates, a registry's own, and our own towards it."""

from __future__ import annotations

import ssl

import urllib3
from requests.utils import DEFAULT_CA_BUNDLE_PATH

from imagebuild.errors import UsageError
from imagebuild.registry.exchange import Trust


def tls_context(trust: Trust) -> ssl.SSLContext:
    """The context for connections under `trust`; whom to believe by default is the system's affair, as for Docker.

    :raises UsageError: for CA, certificate or key files that can't be used.
    """
    context = _verified_context() if trust.verify else unverified_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        if trust.ca_file:
            context.load_verify_locations(trust.ca_file)
        if trust.client_cert:
            context.load_cert_chain(
                trust.client_cert, trust.client_key or None, password=lambda: ""
            )
    except (OSError, ValueError) as error:
        files = " ".join(filter(None, (trust.ca_file, trust.client_cert, trust.client_key)))
        raise UsageError(
            f'certificate files "{files}" can\'t be used: {getattr(error, "reason", None) or error}',
            expected="PEM files; a key without a pass phrase",
        ) from None
    return context


def _verified_context() -> ssl.SSLContext:
    context = ssl.create_default_context()
    paths = ssl.get_default_verify_paths()
    if not (paths.cafile or paths.capath):
        # A Python that was built elsewhere may not know where this system keeps its certificates.
        context.load_verify_locations(DEFAULT_CA_BUNDLE_PATH)
    return context


def unverified_context() -> ssl.SSLContext:
    """For registries that the user called insecure."""
    urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
