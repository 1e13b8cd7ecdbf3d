"""Docker's config.json, Podman's auth.json and credential helpers (SECURITY row 57)."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path
from typing import Any, Dict, Optional

import pytest

from imagebuild.errors import AuthenticationError, UsageError
from imagebuild.oci.reference import Repository
from imagebuild.registry.credentials import Credential, CredentialStore


def auth(name: str, password: str = "pw") -> Dict[str, str]:
    return {"auth": base64.b64encode(f"{name}:{password}".encode()).decode()}


def store_of(directory: Path, document: Any, **env: str) -> CredentialStore:
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "config.json").write_text(json.dumps(document))
    return CredentialStore.from_environment(
        {"DOCKER_CONFIG": str(directory), "PATH": "/usr/bin:/bin", **env}
    )


def helper(directory: Path, name: str, script: str) -> Path:
    """A credential helper that appends what it reads to a file beside it."""
    directory.mkdir(parents=True, exist_ok=True)
    program = directory / f"docker-credential-{name}"
    program.write_text(
        f'#!/bin/sh\nserver=$(cat)\necho "$1 $server" >> "{directory}/asked"\n{script}\n'
    )
    program.chmod(0o755)
    return program


ANSWER = """printf '{"ServerURL":"%s","Username":"helped","Secret":"pw"}' "$server" """

AUTHS = {
    "host": ({"r.example": auth("u")}, "r.example/app", "u"),
    "host and port": ({"r.example:5000": auth("u")}, "r.example:5000/app", "u"),
    "other port": ({"r.example:5000": auth("u")}, "r.example:5001/app", None),
    "other host": ({"r.example": auth("u")}, "xr.example/app", None),
    "suffix of a host": ({"r.example": auth("u")}, "sub.r.example/app", None),
    "url key": ({"https://r.example/v1/": auth("u")}, "r.example/app", "u"),
    "url key without a path": ({"http://r.example": auth("u")}, "r.example/app", "u"),
    "v2 key": ({"r.example/v2/": auth("u")}, "r.example/app", "u"),
    "plain key before a url key": (
        {"https://r.example": auth("old"), "r.example": auth("new")},
        "r.example/app",
        "new",
    ),
    "Docker Hub": ({"https://index.docker.io/v1/": auth("hub")}, "alpine", "hub"),
    "Docker Hub by name": ({"docker.io": auth("hub")}, "alpine", "hub"),
    "path": (
        {"r.example/team": auth("team"), "r.example": auth("all")},
        "r.example/team/app",
        "team",
    ),
    "longer path": ({"r.example/a": auth("a"), "r.example/a/b": auth("ab")}, "r.example/a/b", "ab"),
    "path of another": (
        {"r.example/team": auth("team"), "r.example": auth("all")},
        "r.example/team2/app",
        "all",
    ),
    "path only": ({"r.example/team": auth("team")}, "r.example/other", None),
    "empty entry": ({"r.example": {}}, "r.example/app", None),
    "name and password": ({"r.example": {"username": "u", "password": "pw"}}, "r.example/app", "u"),
    "no entry": ({}, "r.example/app", None),
}


@pytest.mark.parametrize(("auths", "repository", "user"), AUTHS.values(), ids=AUTHS)
def test_auths(auths: Any, repository: str, user: Optional[str], tmp_path: Path) -> None:
    found = store_of(tmp_path, {"auths": auths}).lookup(Repository.parse(repository))

    assert user == (found and found.username)


def test_password_with_a_colon_and_padding(tmp_path: Path) -> None:
    padded = {"auth": base64.b64encode(b"u:a:b\0\0").decode()}

    assert Credential("u", "a:b") == store_of(tmp_path, {"auths": {"r.example": padded}}).lookup(
        Repository("r.example", "app")
    )


def test_tokens(tmp_path: Path) -> None:
    document = {
        "auths": {"i.example": {"identitytoken": "it"}, "r.example": {"registrytoken": "rt"}}
    }
    store = store_of(tmp_path, document)

    assert Credential(identity_token="it") == store.lookup(Repository("i.example", "app"))
    assert Credential(registry_token="rt") == store.lookup(Repository("r.example", "app"))


BAD_FILES = {
    "not JSON": ("{", "is not JSON"),
    "a list": ("[]", "the file is not an object"),
    "auths is a list": ('{"auths": []}', "auths is not an object"),
    "entry is text": ('{"auths": {"r.example": "canary"}}', 'auths["r.example"] is not an object'),
    "auth is a number": (
        '{"auths": {"r.example": {"auth": 5}}}',
        'auths["r.example"] holds something else than a string',
    ),
    "auth is not base64": (
        '{"auths": {"r.example": {"auth": "canary!"}}}',
        'auths["r.example"].auth is not base64',
    ),
    "helper is a list": (
        '{"credHelpers": {"r.example": ["canary"]}}',
        "credHelpers holds something else",
    ),
    "store is a number": ('{"credsStore": 5}', "credsStore holds something else"),
    "deep": ("[" * 100_000, "is not JSON"),
}


@pytest.mark.parametrize(("text", "says"), BAD_FILES.values(), ids=BAD_FILES)
def test_bad_file(text: str, says: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(text)

    with pytest.raises(UsageError) as error:
        CredentialStore.from_environment({"DOCKER_CONFIG": str(tmp_path)}).lookup(
            Repository("r.example", "app")
        )
    assert f'registry credentials in "{tmp_path}/config.json": {says}' in error.value.message
    assert "canary" not in str(error.value)


def test_places_in_order(tmp_path: Path) -> None:
    """Each place is used when those before it have no entry."""
    places = {
        "REGISTRY_AUTH_FILE": tmp_path / "explicit.json",
        "docker": tmp_path / "home/.docker/config.json",
        "runtime": tmp_path / "run/containers/auth.json",
        "config": tmp_path / "home/.config/containers/auth.json",
    }
    env = {
        "HOME": str(tmp_path / "home"),
        "XDG_RUNTIME_DIR": str(tmp_path / "run"),
        "REGISTRY_AUTH_FILE": str(places["REGISTRY_AUTH_FILE"]),
    }
    for name, place in reversed(list(places.items())):
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(json.dumps({"auths": {"r.example": auth(name)}}))

        found = CredentialStore.from_environment(env).lookup(Repository("r.example", "app"))
        assert found is not None
        assert name == found.username
    env["DOCKER_AUTH_CONFIG"] = json.dumps({"auths": {"r.example": auth("inline")}})
    found = CredentialStore.from_environment(env).lookup(Repository("r.example", "app"))
    assert found is not None
    assert "inline" == found.username


def test_relative_places_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"auths": {"r.example": auth("u")}}))

    assert (
        CredentialStore.from_environment({"DOCKER_CONFIG": "."}).lookup(
            Repository("r.example", "app")
        )
        is None
    )


def test_nothing_is_read_before_it_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{")

    CredentialStore.from_environment({"DOCKER_CONFIG": str(tmp_path)})


def test_helper_of_a_registry(tmp_path: Path) -> None:
    helper(tmp_path / "bin", "one", ANSWER)
    store = store_of(
        tmp_path,
        {"credHelpers": {"r.example": "one"}, "auths": {"r.example": auth("inline")}},
        PATH=f"{tmp_path}/bin:/usr/bin:/bin",
    )

    for _ in range(3):
        assert Credential("helped", "pw") == store.lookup(Repository("r.example", "app"))
    assert store.lookup(Repository("other.example", "app")) is None
    assert (
        "get r.example\n" == (tmp_path / "bin/asked").read_text()
    ), "asked once, the server on stdin"


@pytest.mark.parametrize(
    ("repository", "server"),
    [("alpine", "https://index.docker.io/v1/"), ("r.example:5000/app", "r.example:5000")],
)
def test_helper_of_all_registries(repository: str, server: str, tmp_path: Path) -> None:
    helper(tmp_path / "bin", "all", ANSWER)
    store = store_of(tmp_path, {"credsStore": "all"}, PATH=f"{tmp_path}/bin:/usr/bin:/bin")

    assert Credential("helped", "pw") == store.lookup(Repository.parse(repository))
    assert f"get {server}\n" == (tmp_path / "bin/asked").read_text()


def test_helper_with_an_identity_token(tmp_path: Path) -> None:
    helper(tmp_path / "bin", "all", """printf '{"Username":"<token>","Secret":"it"}'""")
    store = store_of(tmp_path, {"credsStore": "all"}, PATH=f"{tmp_path}/bin:/usr/bin:/bin")

    assert Credential(identity_token="it") == store.lookup(Repository("r.example", "app"))


def test_helper_that_has_nothing_falls_back_to_the_file(tmp_path: Path) -> None:
    helper(tmp_path / "bin", "all", "echo credentials not found in native keychain; exit 1")
    document = {"credsStore": "all", "auths": {"r.example": auth("inline")}}
    store = store_of(tmp_path, document, PATH=f"{tmp_path}/bin:/usr/bin:/bin")

    found = store.lookup(Repository("r.example", "app"))
    assert found is not None
    assert "inline" == found.username
    assert store.lookup(Repository("other.example", "app")) is None


HELPER_FAILURES = {
    "fails": ("echo canary; echo canary >&2; exit 3", 'exited 3, asked for "r.example"'),
    "prints nothing": ("exit 0", "printed something else than"),
    "prints no JSON": ("echo canary", "printed something else than"),
    "prints a list": ("echo '[\"canary\"]'", "printed something else than"),
    "prints numbers": ("""echo '{"Username": 5, "Secret": "canary"}'""", "that is not a string"),
}


@pytest.mark.parametrize(("script", "says"), HELPER_FAILURES.values(), ids=HELPER_FAILURES)
def test_helper_that_fails(script: str, says: str, tmp_path: Path) -> None:
    helper(tmp_path / "bin", "bad", script)
    store = store_of(tmp_path, {"credsStore": "bad"}, PATH=f"{tmp_path}/bin:/usr/bin:/bin")

    with pytest.raises(AuthenticationError) as error:
        store.lookup(Repository("r.example", "app"))
    assert 'the credential helper "docker-credential-bad" ' in error.value.message
    assert says in error.value.message
    assert "canary" not in str(error.value)


@pytest.mark.parametrize("name", ["../x", "/bin/x", "a b", "x;y", "x\ny", "$(x)", "a/b"])
def test_helper_name_that_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(AuthenticationError, match="is refused"):
        store_of(tmp_path, {"credsStore": name}).lookup(Repository("r.example", "app"))


def test_helper_is_not_taken_from_relative_or_untrusted_directories(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Row 57: a build context that holds a helper, reachable as ".", as "", relatively, and by its absolute path."""
    context = tmp_path / "context"
    helper(context / "bin", "x", ANSWER)
    helper(context, "x", ANSWER)
    (tmp_path / "link").symlink_to(context / "bin")
    monkeypatch.chdir(context)
    path = f".::bin:{context}:{context}/bin:{tmp_path}/link:/usr/bin:/bin"
    config = {"DOCKER_CONFIG": str(tmp_path), "PATH": path}
    (tmp_path / "config.json").write_text(json.dumps({"credsStore": "x"}))

    with pytest.raises(AuthenticationError, match="is not in any absolute directory of PATH"):
        CredentialStore.from_environment(config, untrusted=[str(context)]).lookup(
            Repository("r.example", "app")
        )
    assert not list(tmp_path.rglob("asked"))
    # The twin: the same helper from a directory of the machine's.
    helper(tmp_path / "bin", "x", ANSWER)
    config["PATH"] += f":{tmp_path}/bin"
    store = CredentialStore.from_environment(config, untrusted=[str(context)])
    assert Credential("helped", "pw") == store.lookup(Repository("r.example", "app"))


def test_secrets_are_in_no_repr() -> None:
    assert "Credential('u', ***)" == repr(Credential("u", "canary", "canary", "canary"))
    assert "canary" not in repr(CredentialStore.of({"r.example": Credential("u", "canary")}))
    assert os.sep not in str(Credential("u", "canary"))
