"""Counts the tests of JUnit reports: `python3 test_summary.py DIRECTORY EXIT_CODE` ends with `N passed, N failed`.

Pants shows a line per file; this says how many tests really ran. DIRECTORY holds the reports and EXIT_CODE is that of
`pants test`. Exits with 1 when a test failed, when one was skipped in CI, when a file ended without a report (a crash, a
timeout), or when there was no test at all.
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

FAILURES = ("failure", "error")
OWN_LINE = ("conformance",)
"""Directories of tests whose numbers are told apart as well."""


def outcome(case: ElementTree.Element) -> str:
    """`passed`, `failed` or `skipped`; an expected failure is a pass."""
    if any(case.find(tag) is not None for tag in FAILURES):
        return "failed"
    skipped = case.find("skipped")
    if skipped is None or skipped.get("type") == "pytest.xfail":
        return "passed"
    return "skipped"


def main(directory: str, exit_code: str) -> int:
    counts: Counter[str] = Counter()
    apart = {name: Counter[str]() for name in OWN_LINE}
    for path in sorted(Path(directory).rglob("*.xml")):
        for case in ElementTree.parse(path).iter("testcase"):
            result = outcome(case)
            counts[result] += 1
            for name, own in apart.items():
                if f".{name}." in (case.get("classname") or ""):
                    own["passed" if result == "passed" else "failed"] += 1
            if result != "passed":
                print(f"{result}: {case.get('classname')}::{case.get('name')}")

    if os.environ.get("CI") == "true":
        counts["failed"] += counts.pop("skipped", 0)
    if exit_code != "0" and not counts["failed"]:
        print("failed: a test file without a report; Pants says which, above")
        counts["failed"] = 1
    for name, own in apart.items():
        print(f"{name}: {own['passed']} passed, {own['failed']} failed")
    skipped = f", {counts['skipped']} skipped" if counts["skipped"] else ""
    if not counts["passed"]:
        print(f"no test passed: there is no report in {directory}")
    print(f"{counts['passed']} passed, {counts['failed']} failed{skipped}")
    return 1 if counts["failed"] or not counts["passed"] else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
