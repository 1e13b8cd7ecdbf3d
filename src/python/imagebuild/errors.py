"""Every error that a user of imagebuild can meet, as one tree.

    ImageBuildError
     x UsageError               64  the command line or a request file is wrong
     x DockerfileError          65  + DockerfileSyntaxError, UnknownInstructionError, UnsupportedFlagError,
     |                                DuplicateStageNameError, ReservedStageNameError, UndefinedStageError,
     |                                ExpansionError, RefusedError
     x ContextError             66  + SourceNotInContextError, OutsideContextError
     x RegistryError            69  + UnreachableError, NotFoundError; RateLimitedError 75; AuthenticationError 77
     x RemoteError              69  a URL of ADD could not be fetched; ChecksumError 76: it is not what was named
     x HostError                71  + NamespacesUnavailableError, OverlayUnavailableError,
     |                                EmulatorMissingError, StoreFullError
     x LayerMissingError        74  a layer is neither in the store nor in a registry: run its step again
     x IntegrityError           76  + DigestMismatchError, UnsafePathError, MalformedError, PlatformMissingError
     x StepError                10  + CommandFailedError: the user's own command failed

Exit codes follow sysexits.h where it has a name for the case. Anything that is not an ``ImageBuildError`` is our
bug (70). An error is raised or logged, never both.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional, Tuple, TypeVar

EXIT_NOT_FOR_LONG = 3
"""No error: a full result that another run may not get again (steps that missed, layers that are nowhere, a cache that did
not answer). Pants' engine and its caches remember what ended with 0."""
EXIT_SET_ASIDE = 4
"""No error: it mostly waits, and goes on; the answer says where its end is told (`serve.aside`)."""
EXIT_LOST = 5
"""The outcome of what was set aside is not there: its server was killed."""
EXIT_OUR_BUG = 70

_E = TypeVar("_E", bound="ImageBuildError")


@dataclass(frozen=True)
class SourceRange:
    """Lines of a file, both ends included, counted from 1."""

    file: str
    start_line: int
    end_line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.start_line}"


class ImageBuildError(Exception):
    """What went wrong, what was expected instead, and what to do about it.

    :param message: one sentence, no trailing full stop, quoting the offending text.
    :param expected: what would have been accepted.
    :param hint: the user's next move (printed behind ``fix:``).
    :param origin: the lines of the Dockerfile (or other input) that are to blame.
    :param excerpt: numbered source lines around the origin, already formatted.
    """

    exit_code = EXIT_OUR_BUG

    def __init__(
        self,
        message: str,
        *,
        expected: str = "",
        hint: str = "",
        origin: Optional[SourceRange] = None,
        excerpt: Tuple[str, ...] = (),
    ) -> None:
        super().__init__(message)
        self.message = message
        self.expected = expected
        self.hint = hint
        self.origin = origin
        self.excerpt = excerpt

    def at(self: _E, origin: SourceRange, excerpt: Tuple[str, ...] = ()) -> _E:
        """The same error, placed in a source file; a place that is already known stays."""
        if self.origin is None:
            self.origin, self.excerpt = origin, excerpt
        return self

    def __str__(self) -> str:
        lines = [f"{self.origin}: {self.message}" if self.origin else self.message]
        lines.extend(self.excerpt)
        if self.expected:
            lines.append(f"expected: {self.expected}")
        if self.hint:
            lines.append(f"fix: {self.hint}")
        return "\n".join(lines)


class ManyErrors(ImageBuildError):
    """Several errors of one input, found in one go and reported together."""

    def __init__(self, errors: Tuple[ImageBuildError, ...]) -> None:
        super().__init__("\n\n".join(str(error) for error in errors))
        self.errors = errors
        self.exit_code = errors[0].exit_code


class UsageError(ImageBuildError):
    exit_code = 64


class DockerfileError(ImageBuildError):
    exit_code = 65


class DockerfileSyntaxError(DockerfileError):
    pass


class UnknownInstructionError(DockerfileError):
    pass


class UnsupportedFlagError(DockerfileError):
    pass


class DuplicateStageNameError(DockerfileError):
    pass


class ReservedStageNameError(DockerfileError):
    pass


class UndefinedStageError(DockerfileError):
    pass


class ExpansionError(DockerfileError):
    pass


class RefusedError(DockerfileError):
    """Valid for Docker, and asks for what no build gets here; never ignored."""


class ContextError(ImageBuildError):
    exit_code = 66


class SourceNotInContextError(ContextError):
    pass


class OutsideContextError(ContextError):
    pass


class StepError(ImageBuildError):
    exit_code = 10


class CommandFailedError(StepError):
    """The command of a RUN ended with another exit code than 0 (or by a signal)."""

    def __init__(self, message: str, *, command_exit_code: int, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.command_exit_code = command_exit_code


class RegistryError(ImageBuildError):
    """A registry could not be reached, or answered with an error.

    :param method: the HTTP method, or "" where no request was sent.
    :param url: the URL with user info and query removed.
    :param status: the HTTP status, or 0 where there was no answer.
    :param codes: the distribution-spec error codes of the answer, e.g. ("MANIFEST_UNKNOWN",).
    """

    exit_code = 69

    def __init__(
        self,
        message: str,
        *,
        method: str = "",
        url: str = "",
        status: int = 0,
        codes: Tuple[str, ...] = (),
        expected: str = "",
        hint: str = "",
    ) -> None:
        super().__init__(message, expected=expected, hint=hint)
        self.method = method
        self.url = url
        self.status = status
        self.codes = codes


class UnreachableError(RegistryError):
    """No answer at all.

    :param kind: "refused", "name", "timeout", "certificate", "tls", "proxy", "broken" or "invalid".
    """

    def __init__(
        self, message: str, *, kind: str, method: str = "", url: str = "", hint: str = ""
    ) -> None:
        super().__init__(message, method=method, url=url, hint=hint)
        self.kind = kind


class NotFoundError(RegistryError):
    pass


class RateLimitedError(RegistryError):
    exit_code = 75


class AuthenticationError(RegistryError):
    exit_code = 77


class RemoteError(ImageBuildError):
    """A file or a repository that an ADD names by its URL could not be fetched."""

    exit_code = 69


class ChecksumError(RemoteError):
    """What was fetched is not what ``--checksum`` names."""

    exit_code = 76


class HostError(ImageBuildError):
    exit_code = 71


class NamespacesUnavailableError(HostError):
    pass


class OverlayUnavailableError(HostError):
    pass


class EmulatorMissingError(HostError):
    """A RUN is for another platform, and nothing here runs that platform's programs."""


class StoreFullError(HostError):
    pass


class LayerMissingError(ImageBuildError):
    """Bytes of a layer are needed and are nowhere; the step that made it has to run again."""

    exit_code = 74

    def __init__(self, message: str, *, diff_ids: Tuple[str, ...], hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.diff_ids = diff_ids


class IntegrityError(ImageBuildError):
    exit_code = 76


class DigestMismatchError(IntegrityError):
    def __init__(self, what: str, *, expected_digest: str, actual_digest: str) -> None:
        super().__init__(
            f"{what} does not have the digest it is named by",
            expected=f"{expected_digest}, got {actual_digest}",
            hint="the sender or the storage is faulty or hostile; nothing of it was kept",
        )
        self.expected_digest = expected_digest
        self.actual_digest = actual_digest


class UnsafePathError(IntegrityError):
    """A path of an archive or an image would leave its root."""


class MalformedError(IntegrityError):
    """A manifest, config, layer, index or record that breaks its own format or its bounds."""


class PlatformMissingError(MalformedError):
    """An image is there, but not for the platform that is wanted.

    :param offered: the platforms that it is there for, "" where it names none.
    """

    def __init__(self, image: str, platform: str, *, offered: str) -> None:
        super().__init__(
            f'the image "{image}" has nothing for {platform}',
            expected=f"one of {offered or 'its platforms (it names none)'}",
            hint="use an image that is built for this platform",
        )
        self.offered = offered
