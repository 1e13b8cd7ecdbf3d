"""Registries of `[kaniko].registries`: the shape of `[docker].registries`, and how to reach them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, Iterator, Mapping, Sequence, Tuple

from imagebuild.registry.options import RegistryOptions

ALL_DEFAULT_REGISTRIES = "<all default registries>"

_KEYS = {
    "address": str,
    "default": bool,
    "skip_push": bool,
    "extra_image_tags": list,
    "repository": str,
    "use_local_alias": bool,  # Docker's: names in a local daemon, which we have not; accepted, so that tables can move
    "insecure": bool,
    "mirrors": list,
    "ca_file": str,
    "client_cert": str,
    "client_key": str,
    "auth_hosts": list,
}


class RegistriesError(ValueError):
    """The table, or a target's reference to it, is wrong."""


@dataclass(frozen=True)
class Registry:
    """One destination.

    :param options: its address, and how to reach it.
    :param alias: the name in the table, "" for an address that a BUILD file names.
    :param repository: template that replaces the target's repository, "" for none.
    """

    options: RegistryOptions
    alias: str = ""
    default: bool = False
    skip_push: bool = False
    extra_image_tags: Tuple[str, ...] = ()
    repository: str = ""

    @property
    def address(self) -> str:
        return self.options.address

    @staticmethod
    def from_table(alias: str, entry: Any) -> Registry:
        """:raises RegistriesError: for an unknown key, a missing address or a value of another type."""
        where = f"`[kaniko].registries`, entry {alias!r}"
        if not isinstance(entry, Mapping):
            raise RegistriesError(f"{where} must be a table, but was {entry!r}.")
        for key, value in entry.items():
            expected = _KEYS.get(key)
            if expected is None:
                raise RegistriesError(
                    f"{where} has the unknown key {key!r}. Known are: {', '.join(_KEYS)}."
                )
            if not isinstance(value, (list, tuple) if expected is list else expected):
                raise RegistriesError(
                    f"{where}: {key!r} must be a {expected.__name__}, but was {value!r}."
                )
        if not entry.get("address"):
            raise RegistriesError(
                f'{where} has no address. Add for example address = "registry.example.com:5000".'
            )
        options = RegistryOptions(
            address=entry["address"],
            insecure=entry.get("insecure", False),
            ca_file=entry.get("ca_file", ""),
            client_cert=entry.get("client_cert", ""),
            client_key=entry.get("client_key", ""),
            mirrors=tuple(entry.get("mirrors", ())),
            auth_hosts=tuple(entry.get("auth_hosts", ())),
        )
        return Registry(
            options,
            alias,
            entry.get("default", alias == "default"),
            entry.get("skip_push", False),
            tuple(entry.get("extra_image_tags", ())),
            entry.get("repository") or "",
        )


@dataclass(frozen=True)
class Registries:
    """All that are configured, by alias."""

    configured: Tuple[Registry, ...]

    @staticmethod
    def from_table(table: Mapping[str, Any]) -> Registries:
        """:raises RegistriesError: see `Registry.from_table`; and for an address that is there twice."""
        found: Dict[str, Registry] = {}
        for alias, entry in table.items():
            registry = Registry.from_table(alias, entry)
            other = found.setdefault(registry.address, registry)
            if other is not registry:
                raise RegistriesError(
                    f"`[kaniko].registries` has the address {registry.address!r} twice: as {other.alias!r} and as "
                    f"{alias!r}. Keep one of them."
                )
        return Registries(tuple(found.values()))

    @property
    def options(self) -> Tuple[RegistryOptions, ...]:
        """How to reach each of them; what the executor is told."""
        return tuple(registry.options for registry in self.configured)

    def get(self, names: Sequence[str]) -> Iterator[Registry]:
        """The registries that a target names, in its order.

        :raises RegistriesError: for an alias that is not configured.
        """
        by_name = {registry.address: registry for registry in self.configured}
        by_name.update({f"@{registry.alias}": registry for registry in self.configured})
        for name in names:
            if name == ALL_DEFAULT_REGISTRIES:
                yield from (registry for registry in self.configured if registry.default)
            elif name in by_name:
                yield by_name[name]
            elif name.startswith("@"):
                known = ", ".join(f"@{registry.alias}" for registry in self.configured) or "none"
                raise RegistriesError(
                    f"No registry has the alias {name[1:]!r}. Configured in `[kaniko].registries` are: {known}."
                )
            else:
                yield Registry(RegistryOptions(name))
