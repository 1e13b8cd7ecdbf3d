"""What is checked, as users say it: ``skip=RULE,RULE;error=true;experimental=all`` (Dockerfile reference, "check")."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, FrozenSet, Optional

from imagebuild.errors import UsageError

ALL = "all"
_KEYS = ("skip", "error", "experimental")
_TRUE, _FALSE = ("1", "t", "true"), ("0", "f", "false")  # as Go's strconv.ParseBool, in any case


@dataclass(frozen=True)
class CheckOptions:
    """:param skip: and `experimental`: names of rules, or ALL.
    :param error: whether warnings fail the check; None where nothing is said.
    """

    skip: FrozenSet[str] = frozenset()
    experimental: FrozenSet[str] = frozenset()
    error: Optional[bool] = None

    @staticmethod
    def parse(text: str) -> CheckOptions:
        """:raises UsageError: for what is none of it."""
        values: Dict[str, str] = {}
        for part in text.split(";") if text.strip() else ():
            key, equals, value = part.partition("=")
            key = key.strip()
            if not equals or key not in _KEYS or key in values:
                raise _bad(part.strip(), "is given twice" if key in values else "is not an option")
            values[key] = value.strip()
        return CheckOptions(
            _names(values.get("skip", "")),
            _names(values.get("experimental", "")),
            _truth(values["error"]) if "error" in values else None,
        )

    def over(self, general: CheckOptions) -> CheckOptions:
        """These together with more general ones; what is said here about `error` counts."""
        return CheckOptions(
            self.skip | general.skip,
            self.experimental | general.experimental,
            general.error if self.error is None else self.error,
        )

    def report(self, rule: str, experimental: bool) -> bool:
        """Whether findings of a rule are wanted. "skip=all" leaves those that are experimental, and asked for."""
        if experimental:
            return rule not in self.skip and bool({rule, ALL} & self.experimental)
        return not {rule, ALL} & self.skip


def _names(text: str) -> FrozenSet[str]:
    return frozenset(name.strip() for name in text.split(",") if name.strip())


def _truth(text: str) -> bool:
    if text.lower() not in _TRUE + _FALSE:
        raise _bad(f"error={text}", "is neither true nor false")
    return text.lower() in _TRUE


def _bad(part: str, why: str) -> UsageError:
    return UsageError(
        f'"{part}" of the check options {why}',
        expected="skip=RULE,RULE;error=true;experimental=RULE, each at most once, in any order; or skip=all",
    )
