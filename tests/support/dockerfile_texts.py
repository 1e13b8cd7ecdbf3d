"""Strategies for texts of Dockerfiles: valid ones, nearly valid ones, and bytes."""

from __future__ import annotations

import re

from hypothesis import strategies as st

from imagebuild.dockerfile.instructions import INSTRUCTIONS

KEYWORDS = tuple(INSTRUCTIONS)

_ESCAPES_END = re.compile(r"(?:\\.|[^\\])*", re.DOTALL)

WORD = st.text(alphabet="abc019.-_/é~,:", max_size=6).map("w{}".format)
VALUE = st.one_of(
    WORD,
    st.builds(
        '"{}"'.format,
        st.text(alphabet="ab $'{}\\", max_size=6).filter(_ESCAPES_END.fullmatch),
    ),
    st.builds("'{}'".format, st.text(alphabet='ab ${}"', max_size=6)),
    st.builds("${{V{}}}".format, st.sampled_from(["", ":-x", "%.*", "//a/b"])),
)
NAME = st.text(alphabet="abcXYZ_09", min_size=1, max_size=4).map("N{}".format)
PAIRS = st.lists(st.builds("{}={}".format, NAME, VALUE), min_size=1, max_size=3).map(" ".join)
LIST = st.lists(st.text(alphabet="ab \"\\'$é\t", max_size=5), min_size=1, max_size=3)
JSON = LIST.map(
    lambda items: "["
    + ", ".join(
        '"' + item.replace("\\", "\\\\").replace('"', '\\"').replace("\t", "\\t") + '"'
        for item in items
    )
    + "]"
)
SHELL = st.text(alphabet="ab $&|<>;'\"\\{}()é", min_size=1, max_size=12).map("x{}x".format)
COMMAND = st.one_of(JSON, SHELL.filter(lambda text: "<<" not in text))
CHOWN = st.sampled_from(["", "--chown=app:staff ", "--chmod=0755 ", '--chown="$V" --chmod=7 '])
LINE = st.sampled_from(
    [
        "",
        "x",
        "\ttab",
        '"$V" ${V:-y}',
        "\\$V \\\\ \\q",
        "FROM debian",
        "# c",
        "'",
        "a \\",
        "#!/bin/sh",
        "<<B",
    ]
)
DOCUMENT = st.builds(
    lambda name, lines: (name[0], "".join(f"\n{line}" for line in lines) + f"\n{name[1]}"),
    st.sampled_from([("<<EOF", "EOF"), ("<<-EOF", "\tEOF"), ("<<'a.b'", "a.b"), ('<<"E"O', "EO")]),
    st.lists(LINE, max_size=4),
)
RUN_DOCUMENT = st.builds(
    lambda before, document, after: f"RUN {before}{document[0]}{after}{document[1]}",
    st.sampled_from(["", "", "cat ", "--network=none ", "3"]),
    DOCUMENT,
    st.sampled_from(["", "", " >/x", " | sh"]),
)
COPY_DOCUMENT = st.builds(
    lambda keyword, one, two, word: f"{keyword} {one[0]} {word} {two[0]} /d/{one[1]}{two[1]}",
    st.sampled_from(["COPY", "ADD", "COPY --chmod=u+x", "COPY --from=image"]),
    DOCUMENT,
    DOCUMENT,
    WORD,
)
PART = WORD.filter(lambda text: "," not in text)
MOUNT = st.one_of(
    st.builds("type=bind,source={},target=/m".format, PART),
    st.builds("from=image,src={},dst={},{}".format, PART, PART, st.sampled_from(["rw", "ro=true"])),
    st.builds("type=cache,target={},sharing=locked,uid=$V".format, PART),
    st.builds("type=tmpfs,target=/t,size={}".format, st.sampled_from(["1k", "$V", "0.5GB"])),
    st.builds("type=secret,id={},env=E,required".format, PART),
    st.builds("type=ssh,mode=0{}".format, st.sampled_from(["600", "9"])),
    st.builds('\\"target=/a,{}\\",type=tmpfs'.format, PART),
    st.builds("type=$V,target='/a b'".format),
)
MOUNTED = st.builds("RUN --mount={} --mount={} true".format, MOUNT, MOUNT)
SELECTING = st.builds(
    "{} {}{} ./".format,
    st.sampled_from(["COPY", "ADD", "COPY --parents", "COPY --parents --from=image"]),
    st.sampled_from(
        ["--link ", "--exclude=*.md --exclude=!a ", "--chmod=go-w,u+X ", "--exclude=$V "]
    ),
    st.sampled_from(["b/./d", "b/**/e", ".", "b*/ a", "./l*nk/./e", "$V"]),
)
FETCHING = st.builds(
    "ADD {}{} /x/".format,
    st.sampled_from(
        [
            "",
            "--checksum=$V ",
            "--keep-git-dir ",
            "--unpack=false ",
            "--checksum=sha256:" + "0" * 64 + " ",
        ]
    ),
    st.sampled_from(
        [
            "https://h/a?b=$V#c",
            "http://u:p@h/$V.git#main:sub",
            "git@h:a/b.git",
            "git://h/a?tag=$V&submodules=0",
            "https://h/$V a",
            "ssh://h:x/",
        ]
    ),
)
DURATION = st.sampled_from(["5s", "1m30s", "1.5h", "20ms", "0"])

PLAIN_INSTRUCTION = st.one_of(
    st.builds("ARG {}".format, st.one_of(NAME, PAIRS)),
    st.builds("{} {}".format, st.sampled_from(["ENV", "LABEL"]), PAIRS),
    st.builds("{} {} {}".format, st.sampled_from(["ENV", "LABEL"]), NAME, VALUE),
    st.builds(
        "{} {}".format, st.sampled_from(["RUN", "CMD", "ENTRYPOINT", "RUN --network=none"]), COMMAND
    ),
    st.builds("SHELL {}".format, JSON),
    st.builds("{} {}{} {} ./".format, st.sampled_from(["COPY", "ADD"]), CHOWN, WORD, WORD),
    st.builds("COPY --from=image {} {}".format, WORD, WORD),
    st.builds('ADD ["{}", " ", "{}"]'.format, WORD, WORD),
    st.builds("WORKDIR {}".format, VALUE),
    st.builds("USER {}".format, st.sampled_from(["app", "1000:50", "$V", "${U:-app}"])),
    st.builds("EXPOSE {}".format, st.sampled_from(["80", "80 443/tcp", "9000-9002/udp", "$P"])),
    st.builds(
        "VOLUME {}".format,
        st.one_of(WORD, st.just('["/a b", "c"]')),
    ),
    st.builds("STOPSIGNAL {}".format, st.sampled_from(["SIGTERM", "9", "RTMIN+3", "$S"])),
    st.builds("HEALTHCHECK --interval={} --retries=3 CMD {}".format, DURATION, COMMAND),
    st.just("HEALTHCHECK NONE"),
    st.builds("MAINTAINER {}".format, WORD),
)
INSTRUCTION = st.one_of(
    PLAIN_INSTRUCTION,
    st.one_of(RUN_DOCUMENT, COPY_DOCUMENT),
    st.one_of(MOUNTED, SELECTING, FETCHING),
    st.builds(
        "ONBUILD {}".format,
        st.one_of(
            PLAIN_INSTRUCTION.filter(lambda text: not text.startswith("MAINTAINER")),
            RUN_DOCUMENT,
            COPY_DOCUMENT,
            MOUNTED,
            FETCHING,
        ),
    ),
)
FROM = st.sampled_from(
    [
        "FROM scratch",
        "FROM debian",
        "FROM debian:$V AS {0}",
        "FROM --platform=linux/amd64 $V AS x{0}y",
    ]
)


@st.composite
def dockerfile_lines(draw: st.DrawFn) -> list:  # type: ignore[type-arg]
    """The logical lines of a Dockerfile that parses; some will not lower."""
    lines = draw(st.lists(st.just("ARG V=12"), max_size=1))
    for number in range(draw(st.integers(1, 3))):
        lines.append(draw(FROM).format(f"s{number}"))
        lines.extend(draw(st.lists(INSTRUCTION, max_size=6)))
    return lines


_BITS = re.findall(
    r"\S+",
    "$ ${ } $V ${V:- ${V#* ${V/ / // \" ' \\ ` = --from= --chown= --chmod= --network= --interval= --platform= 0 755 [ ]"
    " --mount=type=cache,target=/a --mount= ,from= --exclude=[ --parents --link /./ a/./** --checksum= https://h/a.git git@h:a"
    ' [" "] "," a* [^ ? ** ! # <<EOF EOF .. ../ : @ :: 90-92/udp NONE % %% + - , { é',
)
_ODD = [
    "\n",
    "\n",
    "\n",
    "\\\n",
    "#c\n",
    "\r\n",
    " ",
    " ",
    "\t",
    "\x00",
    "\x0c",
    "\x85",
    "\u2028",
    "\ud800",
    "# escape=`\n",
    "\nEOF\n",
    "9" * 30,
]
JUMBLE = st.lists(
    st.one_of(
        st.sampled_from(KEYWORDS).map("\n{} ".format),
        st.sampled_from(_BITS),
        st.sampled_from(_ODD),
        WORD,
    ),
    max_size=20,
).map("".join)
IN_DOCUMENTS = st.builds(
    lambda line, body: b"FROM debian\n" + line + b" <<EOF /x\n" + body + b"\nEOF\n",
    st.sampled_from([b"RUN", b"RUN cat", b"COPY", b"ADD a", b"ONBUILD RUN", b"ONBUILD COPY"]),
    st.one_of(
        st.binary(max_size=20), JUMBLE.map(lambda text: text.encode("utf-8", "surrogatepass"))
    ),
)
BYTES = st.one_of(
    IN_DOCUMENTS,
    st.binary(max_size=60),
    JUMBLE.map(lambda text: text.encode("utf-8", "surrogatepass")),
    JUMBLE.map(
        lambda text: f"FROM debian AS b\nARG V=abc\n{text}".encode("utf-8", "surrogatepass")
    ),
)
