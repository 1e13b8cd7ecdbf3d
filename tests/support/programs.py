"""Static programs for what busybox cannot do in an image that has only busybox."""

from __future__ import annotations

from host.runtime.programs import elf

#: ``setxattr PATH NAME < VALUE``: sets an extended attribute (at most 512 bytes); exits with errno.
SETXATTR = elf(
    bytes.fromhex(
        "31c0 31ff"  # read(0,
        "488db42400fcffff"  # a buffer below the stack,
        "ba00020000 0f05"  # 512)
        "4989c2 4889f2"  # size, value
        "488b7c2410 488b742418 4531c0"  # argv[1], argv[2], no flags
        "b8bc000000 0f05"  # setxattr
        "89c7 f7df b83c000000 0f05"  # exit(-result)
    )
)

#: ``mksocket PATH``: a socket's name without a process behind it, as a crashed daemon leaves it; exits with errno.
MKSOCKET = elf(
    bytes.fromhex(
        "488b7c2410"  # argv[1]
        "beedc10000 31d2"  # S_IFSOCK | 0755, no device
        "b885000000 0f05"  # mknod
        "89c7 f7df b83c000000 0f05"  # exit(-result)
    )
)
