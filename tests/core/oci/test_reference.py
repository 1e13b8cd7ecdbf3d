"""Image names, as Docker reads them (distribution/reference)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagebuild.errors import ImageBuildError, UsageError
from imagebuild.oci.hash import Hash
from imagebuild.oci.reference import ImageRef, Repository

D = "sha256:" + "a" * 64

GOOD = {
    "alpine": "docker.io/library/alpine:latest",
    "alpine:3.19": "docker.io/library/alpine:3.19",
    "library/alpine": "docker.io/library/alpine:latest",
    "team/app": "docker.io/team/app:latest",
    "docker.io/alpine": "docker.io/library/alpine:latest",
    "index.docker.io/alpine": "docker.io/library/alpine:latest",
    "registry-1.docker.io/team/app:1": "docker.io/team/app:1",
    "localhost/app": "localhost/app:latest",
    "localhost:5000/app": "localhost:5000/app:latest",
    "localhost:5000/a/b/c:v1": "localhost:5000/a/b/c:v1",
    "127.0.0.1:5000/app:v1": "127.0.0.1:5000/app:v1",
    "[::1]:5000/app:v1": "[::1]:5000/app:v1",
    "[2001:db8::1]/app:v1": "[2001:db8::1]/app:v1",
    "example.com/app": "example.com/app:latest",
    "Example/app": "Example/app:latest",
    "xn--n3h.com/myimage:xn--n3h.com": "xn--n3h.com/myimage:xn--n3h.com",
    "example.com/a_b/c__d/e-f/g---h/i.j": "example.com/a_b/c__d/e-f/g---h/i.j:latest",
    f"alpine@{D}": f"docker.io/library/alpine@{D}",
    f"alpine:3@{D}": f"docker.io/library/alpine:3@{D}",
    f"localhost:5000/app@{D}": f"localhost:5000/app@{D}",
    "app:" + "t" * 128: "docker.io/library/app:" + "t" * 128,
    "app:_.-1": "docker.io/library/app:_.-1",
    "example.com/" + "a" * 243: "example.com/" + "a" * 243 + ":latest",
    "a" * 63: "docker.io/library/" + "a" * 63 + ":latest",
}

BAD = {
    "nothing": "",
    "only a tag": ":tag",
    "only a digest": f"@{D}",
    "empty tag": "app:",
    "empty digest": "app@",
    "capitals": "example.com/App",
    "capitals without a host": "App",
    "space": "a pp",
    "newline": "app\n",
    "newline behind the tag": "app:1\n",
    "double slash": "example.com//app",
    "slash at the end": "example.com/app/",
    "slash at the start": "/app",
    "host alone": "localhost:5000/",
    "dots": "example.com/a..b",
    "parent": "example.com/../app",
    "three underscores": "a___b",
    "hyphen at the end": "example.com/a-",
    "separator at the start": "example.com/_a",
    "tag too long": "app:" + "t" * 129,
    "tag with a bad start": "app:-1",
    "tag with a slash": "app:a/b",
    "image id": "a" * 64,
    "name too long": "example.com/" + "a" * 244,
    "bad host": "-example.com/app",
    "bad port": "example.com:port/app",
    "port too long": "example.com:123456/app",
    "user info": "user@example.com/app",
    "scheme": "https://example.com/app",
    "query": "example.com/app?x=1",
    "other digest": "app@sha512:" + "a" * 128,
    "short digest": "app@sha256:abc",
    "capital digest": "app@sha256:" + "A" * 64,
    "two digests": f"app@{D}@{D}",
    "not ASCII": "example.com/\u00e4pp",
    "other digits": "app\u0661",
}


@pytest.mark.parametrize(("text", "full"), GOOD.items(), ids=GOOD)
def test_name_in_full(text: str, full: str) -> None:
    ref = ImageRef.parse(text)

    assert full == str(ref)
    assert ref == ImageRef.parse(str(ref))


@pytest.mark.parametrize("text", BAD.values(), ids=BAD)
def test_name_that_is_refused(text: str) -> None:
    with pytest.raises(UsageError) as error:
        ImageRef.parse(text)
    assert "image name" in error.value.message


def test_parts() -> None:
    ref = ImageRef.parse(f"localhost:5000/team/app:v1@{D}")

    assert Repository("localhost:5000", "team/app") == ref.repository
    assert ("v1", Hash("a" * 64)) == (ref.tag, ref.digest)
    assert D == ref.reference
    assert "v1" == ImageRef.parse("app:v1").reference


@pytest.mark.parametrize("text", ["app:v1", f"app@{D}", "localhost:5000/app:v1"])
def test_repository_has_neither_tag_nor_digest(text: str) -> None:
    with pytest.raises(UsageError):
        Repository.parse(text)


def test_message_says_what_is_wrong() -> None:
    with pytest.raises(UsageError) as error:
        ImageRef.parse("example.com/App:1")
    assert (
        'image name "example.com/App" is not valid: "App" is not a repository name; a repository name is lower case'
        == error.value.message
    )


@given(st.text(alphabet="aA0.:/@_-[]%? \n\u00e4", max_size=40) | st.text(max_size=20))
def test_any_text_is_read_or_refused(text: str) -> None:
    """Law: parsing never fails otherwise, and what was read prints as something that reads the same."""
    try:
        ref = ImageRef.parse(text)
    except ImageBuildError:
        return
    assert ref == ImageRef.parse(str(ref))
