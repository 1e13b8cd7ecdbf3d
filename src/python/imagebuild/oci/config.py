"""Image configuration (image-spec config.md), read tolerantly and written canonically.

Docker's own members that the spec reserves (``Healthcheck``, ``OnBuild``, ``Shell``) are kept: every runtime that
honours them reads them from here.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Dict, List, Mapping, Optional, Tuple

from imagebuild.errors import MalformedError
from imagebuild.oci.descriptor import Platform
from imagebuild.oci.hash import Hash

Pairs = Tuple[Tuple[str, str], ...]


@dataclass(frozen=True)
class Healthcheck:
    """HEALTHCHECK; times in nanoseconds, 0 for "inherit"; `test` is ("NONE",), ("CMD", ...) or ("CMD-SHELL", text)."""

    test: Tuple[str, ...] = ()
    interval: int = 0
    timeout: int = 0
    start_period: int = 0
    start_interval: int = 0
    retries: int = 0


@dataclass(frozen=True)
class Config:
    """The execution parameters. `env` keeps the order of definition; None and () differ for entrypoint and cmd."""

    user: str = ""
    env: Pairs = ()
    entrypoint: Optional[Tuple[str, ...]] = None
    cmd: Optional[Tuple[str, ...]] = None
    working_dir: str = ""
    labels: Pairs = ()
    exposed_ports: Tuple[str, ...] = ()
    volumes: Tuple[str, ...] = ()
    stop_signal: str = ""
    shell: Optional[Tuple[str, ...]] = None
    healthcheck: Optional[Healthcheck] = None
    on_build: Tuple[str, ...] = ()
    args_escaped: bool = False

    @staticmethod
    def from_json(document: Any) -> Config:
        return _read_config(_Reader(document, "config"))

    def to_json(self) -> Dict[str, Any]:
        members: Dict[str, Any] = {
            "User": self.user,
            "ExposedPorts": {port: {} for port in self.exposed_ports},
            "Env": [f"{name}={value}" for name, value in self.env],
            "Entrypoint": _listed(self.entrypoint),
            "Cmd": _listed(self.cmd),
            "Volumes": {volume: {} for volume in self.volumes},
            "WorkingDir": self.working_dir,
            "Labels": dict(self.labels),
            "StopSignal": self.stop_signal,
            "ArgsEscaped": self.args_escaped,
            "Healthcheck": _healthcheck_json(self.healthcheck),
            "OnBuild": list(self.on_build),
            "Shell": _listed(self.shell),
        }
        always = {name for name in ("Entrypoint", "Cmd", "Shell") if members[name] is not None}
        return {name: value for name, value in members.items() if value or name in always}


@dataclass(frozen=True)
class History:
    """One line of an image's history; `created` in RFC 3339 or ""."""

    created: str = ""
    created_by: str = ""
    author: str = ""
    comment: str = ""
    empty_layer: bool = False

    def to_json(self) -> Dict[str, Any]:
        members = {
            "created": self.created,
            "created_by": self.created_by,
            "author": self.author,
            "comment": self.comment,
            "empty_layer": self.empty_layer,
        }
        return {name: value for name, value in members.items() if value}


@dataclass(frozen=True)
class ConfigFile:
    """The config blob: platform, execution parameters, layers by diffID, history."""

    platform: Platform
    config: Config = field(default_factory=Config)
    diff_ids: Tuple[Hash, ...] = ()
    history: Tuple[History, ...] = ()
    created: str = ""
    author: str = ""
    os_version: str = ""
    os_features: Tuple[str, ...] = ()

    @staticmethod
    def parse(raw: bytes) -> ConfigFile:
        """:raises MalformedError: when `raw` is not an image config."""
        try:
            document = json.loads(raw)
        except (ValueError, RecursionError) as error:
            raise MalformedError(f"an image config is not JSON: {error}") from None
        return ConfigFile.from_json(document)

    @staticmethod
    def from_json(document: Any) -> ConfigFile:
        reader = _Reader(document, "image config")
        rootfs = _Reader(document.get("rootfs") or {}, "rootfs")
        return ConfigFile(
            platform=Platform(
                reader.text("os") or "linux", reader.text("architecture"), reader.text("variant")
            ),
            config=Config.from_json(document.get("config") or {}),
            diff_ids=tuple(Hash.parse(text) for text in rootfs.texts("diff_ids") or ()),
            history=tuple(
                _read_history(_Reader(item, "history")) for item in reader.items("history")
            ),
            created=reader.text("created"),
            author=reader.text("author"),
            os_version=reader.text("os.version"),
            os_features=reader.texts("os.features") or (),
        )

    def to_json(self) -> Dict[str, Any]:
        members: Dict[str, Any] = {
            "created": self.created,
            "author": self.author,
            **self.platform.to_json(),
            "os.version": self.os_version,
            "os.features": list(self.os_features),
        }
        return {
            **{name: value for name, value in members.items() if value},
            "config": self.config.to_json(),
            "rootfs": {"type": "layers", "diff_ids": [str(diff_id) for diff_id in self.diff_ids]},
            "history": [item.to_json() for item in self.history],
        }

    def to_bytes(self) -> bytes:
        """The blob: sorted members, so that equal configs have equal digests."""
        return json.dumps(
            self.to_json(), sort_keys=True, separators=(",", ":"), ensure_ascii=False
        ).encode()


class _Reader:
    """Typed access to a JSON object of unknown origin; Go writes null for whatever is empty."""

    def __init__(self, document: Any, what: str) -> None:
        if not isinstance(document, Mapping):
            raise MalformedError(f"{what} is not a JSON object")
        self._document, self._what = document, what

    def _get(self, name: str, kind: type, default: Any) -> Any:
        value = self._document.get(name)
        if value is None:
            return default
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise MalformedError(
                f"{name} of {self._what} is {str(value)[:60]!r}", expected=kind.__name__
            )
        return value

    def text(self, name: str) -> str:
        return str(self._get(name, str, ""))

    def number(self, name: str) -> int:
        return int(self._get(name, int, 0))

    def flag(self, name: str) -> bool:
        return bool(self._get(name, bool, False))

    def items(self, name: str) -> Tuple[Any, ...]:
        return tuple(self._get(name, list, ()))

    def texts(self, name: str) -> Optional[Tuple[str, ...]]:
        values = self._get(name, list, None)
        if values is not None and not all(isinstance(value, str) for value in values):
            raise MalformedError(f"{name} of {self._what} is not a list of strings")
        return None if values is None else tuple(values)

    def keys(self, name: str) -> Tuple[str, ...]:
        return tuple(sorted(self._get(name, dict, {})))

    def pairs(self, name: str) -> Pairs:
        return tuple(
            sorted((str(key), str(value)) for key, value in self._get(name, dict, {}).items())
        )


def _read_config(reader: _Reader) -> Config:
    env = (item.partition("=") for item in reader.texts("Env") or ())
    return Config(
        user=reader.text("User"),
        env=tuple((name, value) for name, _, value in env),
        entrypoint=reader.texts("Entrypoint"),
        cmd=reader.texts("Cmd"),
        working_dir=reader.text("WorkingDir"),
        labels=reader.pairs("Labels"),
        exposed_ports=reader.keys("ExposedPorts"),
        volumes=reader.keys("Volumes"),
        stop_signal=reader.text("StopSignal"),
        shell=reader.texts("Shell"),
        healthcheck=_read_healthcheck(reader),
        on_build=reader.texts("OnBuild") or (),
        args_escaped=reader.flag("ArgsEscaped"),
    )


_HEALTHCHECK_TIMES = (
    ("interval", "Interval"),
    ("timeout", "Timeout"),
    ("start_period", "StartPeriod"),
    ("start_interval", "StartInterval"),
    ("retries", "Retries"),
)


def _read_healthcheck(reader: _Reader) -> Optional[Healthcheck]:
    document = reader._get("Healthcheck", dict, None)
    if document is None:
        return None
    inner = _Reader(document, "Healthcheck")
    return Healthcheck(
        inner.texts("Test") or (),
        **{name: inner.number(member) for name, member in _HEALTHCHECK_TIMES},
    )


def _healthcheck_json(healthcheck: Optional[Healthcheck]) -> Optional[Dict[str, Any]]:
    if healthcheck is None:
        return None
    numbers = {member: getattr(healthcheck, name) for name, member in _HEALTHCHECK_TIMES}
    return {
        "Test": list(healthcheck.test),
        **{member: value for member, value in numbers.items() if value},
    }


def _read_history(reader: _Reader) -> History:
    texts = {name: reader.text(name) for name in ("created", "created_by", "author", "comment")}
    return History(**texts, empty_layer=reader.flag("empty_layer"))


def _listed(values: Optional[Tuple[str, ...]]) -> Optional[List[str]]:
    return None if values is None else list(values)
