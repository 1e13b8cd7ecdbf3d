"""Strategies for texts of Dockerfiles: valid ones, nearly valid ones, and bytes."""

from __future__ import annotations

import re

from hypothesis import strategies as st

from imagebuild.dockerfile.instructions import INSTRUCTIONS

KEYWORDS = tuple(INSTRUCTIONS)

WORD = st.text(alphabet="abc019.-_/é~,:", max_size=6).map("w{}".format)
VALUE = st.one_of(
    WORD,
    st.builds(
        '"{}"'.format,
        st.text(alphabet="ab $'{}\\\\", max_size=6).filter(lambda text: text.count("\\") % 2 == 0),
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
DURATION = st.sampled_from(["5s", "1m30s", "1.5h", "20ms", "0"])

INSTRUCTION = st.one_of(
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
BYTES = st.one_of(
    st.binary(max_size=60),
    JUMBLE.map(lambda text: text.encode("utf-8", "surrogatepass")),
    JUMBLE.map(
        lambda text: f"FROM debian AS b\nARG V=abc\n{text}".encode("utf-8", "surrogatepass")
    ),
)
