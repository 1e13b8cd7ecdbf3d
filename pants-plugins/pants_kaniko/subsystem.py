"""Options: `[kaniko]`, how images are built, named and cached; `[kaniko-executor]`, its Python and libraries."""

from __future__ import annotations

from dataclasses import replace
from importlib import resources
from typing import Any, ClassVar, Sequence, Tuple

from pants.backend.python.subsystems.python_tool_base import PythonToolRequirementsBase
from pants.backend.python.subsystems.setup import PythonSetup
from pants.backend.python.target_types import PexLayout
from pants.backend.python.util_rules.interpreter_constraints import InterpreterConstraints
from pants.backend.python.util_rules.pex import PexRequest
from pants.core.goals.generate_lockfiles import DEFAULT_TOOL_LOCKFILE
from pants.option.errors import OptionsError
from pants.option.option_types import (
    BoolOption,
    DictOption,
    IntOption,
    ShellStrListOption,
    StrOption,
    WorkspacePathOption,
)
from pants.option.subsystem import Subsystem
from pants.util.memo import memoized_property
from pants.util.strutil import softwrap

from imagebuild.check.options import CheckOptions
from imagebuild.errors import UsageError
from pants_kaniko.build_fields import COMPRESSIONS, NETWORKS
from pants_kaniko.durations import seconds_of
from pants_kaniko.registries import Registries, RegistriesError

RUNTIMES = ("auto", "namespace", "chroot")

EFFECT_ENV = (
    "HOME",
    "PATH",
    "DOCKER_CONFIG",
    "REGISTRY_AUTH_FILE",
    "XDG_RUNTIME_DIR",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
)


class KanikoSubsystem(Subsystem):
    options_scope = "kaniko"
    name = "kaniko"
    help = "How `kaniko_image` targets are built, named, cached and published."

    class EnvironmentAware(Subsystem.EnvironmentAware):
        env_vars = ShellStrListOption(
            default=list(EFFECT_ENV),
            help=softwrap(
                """
                The environment of what talks to registries: `NAME=value`, or `NAME` to take the value from the
                environment that Pants runs in. Credentials, credential helpers, proxies and certificates are found
                through it. The steps of a Dockerfile see none of it.
                """
            ),
            advanced=True,
        )

    _registries = DictOption[Any](
        help=softwrap(
            """
            The registries that images are published to and pulled from, by alias:

                [kaniko.registries.internal]
                address = "registry.example.com:5000"
                default = true                # for all images that name no `registries`; also: an alias "default"
                repository = "team/{name}"    # instead of the target's
                extra_image_tags = ["{pants.hash}"]
                skip_push = false
                insecure = false              # plain HTTP, or a certificate that nobody vouches for
                mirrors = ["mirror.example.com"]
                ca_file = "/etc/ssl/internal.pem"
                client_cert = "/etc/ssl/me.pem"
                client_key = "/etc/ssl/me.key"
            """
        ),
        fromfile=True,
    )
    default_repository = StrOption(
        default="{name}",
        help=softwrap(
            """
            The repository of images that do not set `repository`. Besides the placeholders of that field, these are
            replaced: `{name}`, `{directory}`, `{parent_directory}`, `{target_repository}`.
            """
        ),
    )
    default_context_root = WorkspacePathOption(
        default="",
        help=softwrap(
            """
            The build context of images that do not set `context_root`: relative to the build root, or with `./` in
            front to the directory of the BUILD file.
            """
        ),
    )
    build_args = ShellStrListOption(
        help=softwrap(
            """
            Values for `ARG`s of all Dockerfiles: `NAME=value`, or `NAME` to take the value from the environment that
            Pants runs in. `extra_build_args` of a target comes before these.
            """
        ),
    )
    build_target_stage = StrOption(
        default=None,
        help="The stage to build in Dockerfiles that have one of this name, before `target_stage` of the target.",
    )
    cache = BoolOption(
        default=True,
        help="If false, every step of every image runs anew, and no cache repository is read or written.",
    )
    cache_repo = StrOption(
        default="",
        help=softwrap(
            """
            The repository to cache layers in, with its registry. Defaults to `<registry>/<repository>/cache` of each
            image's first registry. The placeholders of `default_repository` are replaced.
            """
        ),
    )
    cache_read_only = BoolOption(
        default=False,
        help="If true, layers are taken from the cache repository but never pushed there.",
    )
    _cache_ttl = StrOption(
        default="0",
        help="How long a cached layer is good for: `336h`, `90m`, or a number of seconds. 0 is for ever.",
    )
    base_image_refresh = IntOption(
        default=0,
        help=softwrap(
            """
            For how many seconds a tag of a base image is taken to name the same image. 0 asks its registry in every
            run. An image that is named by its digest is never asked for twice.
            """
        ),
    )
    _runtime = StrOption(
        default="auto",
        help=softwrap(
            """
            How `RUN` is isolated: `namespace` (needs root and mount namespaces), `chroot` (needs root only), or `auto`
            for the first that works here.
            """
        ),
    )
    _network = StrOption(
        default="host",
        help="The network that `RUN` sees, `host` or `none`, if the target does not say.",
    )
    _compression = StrOption(
        default="gzip",
        help="How new layers are compressed, `gzip` or `zstd`, if the target does not say.",
    )
    tailor = BoolOption(
        default=True,
        help="If true, `tailor` adds `kaniko_image` targets for Dockerfiles that nothing owns.",
        advanced=True,
    )

    skip = BoolOption(default=False, help="If true, `check` leaves all images out.")
    _check = StrOption(
        default="",
        help=softwrap(
            """
            What `check` reports of all Dockerfiles, written as in their own `# check=` directive:
            `skip=RULE,RULE;experimental=RULE;error=true`, each part at most once. `skip=all` leaves errors only;
            `error=true` makes warnings fail the check, unless a Dockerfile says `error=false`.
            """
        ),
    )

    check_base_images = BoolOption(
        default=True,
        help=softwrap(
            """
            If true, `check` asks registries for what base images say of themselves: their platform, variables and
            triggers. It goes on without those that it cannot reach, and says which. If false, it asks for none, and
            what depends on them is not reported.
            """
        ),
    )

    @memoized_property
    def registries(self) -> Registries:
        try:
            return Registries.from_table(self._registries)
        except RegistriesError as error:
            raise OptionsError(str(error)) from None

    @property
    def cache_ttl(self) -> int:
        """Seconds, 0 for no limit."""
        seconds = seconds_of(self._cache_ttl)
        if seconds is None:
            raise OptionsError(
                f"`[kaniko].cache_ttl` must be a duration, but was {self._cache_ttl!r}. "
                'Use for example "336h" or "1h30m", or a number of seconds: "3600".'
            )
        return seconds

    @property
    def check(self) -> CheckOptions:
        try:
            return CheckOptions.parse(self._check)
        except UsageError as error:
            raise OptionsError(
                f"`[kaniko].check` is wrong: {error.message}. Expected: {error.expected}."
            ) from None

    @property
    def runtime(self) -> str:
        return _choice("runtime", self._runtime, RUNTIMES)

    @property
    def network(self) -> str:
        return _choice("network", self._network, NETWORKS)

    @property
    def compression(self) -> str:
        return _choice("compression", self._compression, COMPRESSIONS)


def _choice(option: str, value: str, choices: Tuple[str, ...]) -> str:
    if value not in choices:
        known = ", ".join(f'"{choice}"' for choice in choices)
        raise OptionsError(f"`[kaniko].{option}` must be one of {known}, but was {value!r}.")
    return value


class KanikoExecutor(PythonToolRequirementsBase):
    options_scope = "kaniko-executor"
    name = "kaniko-executor"
    help = "The program that runs the steps of a `kaniko_image` and talks to registries."

    default_version = "requests<3,>=2.32"
    default_extra_requirements: ClassVar[Sequence[str]] = ["isal<2,>=1.6", "zstandard<1,>=0.22"]
    default_interpreter_constraints: ClassVar[Sequence[str]] = ["CPython>=3.9,<3.15"]
    register_interpreter_constraints = True
    default_lockfile_resource: ClassVar[Tuple[str, str]] = ("pants_kaniko", "executor.lock")

    @property
    def own_lockfile(self) -> bytes:
        """Its content; empty where users have libraries of their own."""
        own = (self.default_version, *self.default_extra_requirements)
        changed = self.lockfile != DEFAULT_TOOL_LOCKFILE or self.all_requirements != own
        if self.install_from_resolve or changed:
            return b""
        return resources.read_binary(*self.default_lockfile_resource)

    def libraries_request(self, python: PythonSetup) -> PexRequest:
        """The libraries, an archive each: Pants has a dozen files to lay out, not 400."""
        request = self.to_pex_request(interpreter_constraints=self.constraints(python))
        return replace(request, layout=PexLayout.PACKED)

    def constraints(self, python: PythonSetup) -> InterpreterConstraints:
        """Our own lockfile has our interpreter constraints; a user's resolve has its own."""
        resolve = self.install_from_resolve
        if not resolve:
            return self.interpreter_constraints
        own = python.resolves_to_interpreter_constraints.get(resolve)
        return InterpreterConstraints(own or python.interpreter_constraints)
