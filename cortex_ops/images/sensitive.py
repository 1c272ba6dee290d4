"""What looks like a secret: names of files, contents of files, `NAME=value` in history and environment. Pure.

Tuned to be believed: each pattern is one that ordinary code and packages do not contain.
"""

from __future__ import annotations

import re
from collections.abc import Callable

# Where packages put their files: certificates, examples and sources with telling names, never a person's secret.
_SYSTEM = re.compile(
    r"^(usr/(lib|lib64|libexec|share|include|bin|sbin|local/(lib|include|share|bin))|lib|lib64|bin|sbin|"
    r"etc/ssl/certs|var/lib/dpkg|var/lib/apt|var/cache)/"
)
_CODE = re.compile(r"\.(m?[jt]sx?|cjs|py|go|rb|rs|java|md|map|html|css|example|sample|template|dist|pub)$")
_NAMES = re.compile(
    r"(^|/)(\.env(\.[\w-]+)?|id_(rsa|dsa|ecdsa|ed25519)|[\w.-]+\.(key|pfx|p12|keystore|jks)|\.?aws/credentials|"
    r"\.docker/config\.json|\.netrc|\.pgpass|\.git-credentials|secrets?/[\w.-]+)$"
)
_WHITEOUT = re.compile(r"(^|/)\.wh\.")
_CONTENT: tuple[tuple[str, re.Pattern[bytes]], ...] = (
    (
        "a private key",
        re.compile(
            rb"-----BEGIN (?:RSA |EC |OPENSSH |ENCRYPTED |DSA |PGP )?PRIVATE KEY(?: BLOCK)?-----"
            rb"\s*(?:[\w-]+: [^\n]*\n)*\s*[A-Za-z0-9+/=]{40,}"  # the header alone is in every TLS library's source
        ),
    ),
    ("an age identity", re.compile(rb"AGE-SECRET-KEY-1[0-9A-Z]{50,}")),
    ("an AWS key", re.compile(rb"\b(?:AKIA|ASIA)(?![0-9A-Z]*EXAMPLE)[0-9A-Z]{16}\b")),
    ("a GitHub token", re.compile(rb"\bgh[pousr]_[A-Za-z0-9]{36}\b|\bgithub_pat_\w{50,}")),
    ("a GitLab token", re.compile(rb"\bglpat-[\w-]{20,}")),
    ("a Slack token", re.compile(rb"\bxox[abprs]-[0-9A-Za-z-]{20,}")),
    ("an npm token", re.compile(rb"\bnpm_[A-Za-z0-9]{36}\b|:_authToken\s*=\s*(?!\$)[\w-]{16,}")),
    ("an API key", re.compile(rb"\bsk-(?:(?:ant|proj)-[\w-]{32,}|[A-Za-z0-9]{32,})")),
)
_ASSIGNED = re.compile(
    r"(?<![\w-])(\w*(?:password|passwd|secret|token|api_?key|private_?key|credential)\w*)=(\"[^\"]*\"|'[^']*'|[^\s;&|]+)",
    re.I,
)
_URL = re.compile(r"\b[a-z][a-z0-9+.-]*://[^\s:/@$]*:[^\s/@$]{3,}@", re.I)
# Not a value: a reference to one, a path, an address, a number, a switch, or a word about secrets.
_NO_VALUE = re.compile(
    r"^(?:.*\$.*|/.*|https?://.*|[\d.]+[smhdkMG]?|true|false|yes|no|none|null|.{0,3}|\*+|type=.*)$", re.I
)
_ABOUT = re.compile(r"(_file|_path|_dir|_name|_url|_ttl|_header|_length|_type)$", re.I)


def name_finding(path: str) -> bool:
    """Whether a file's path says that it is a secret."""
    if _SYSTEM.search(path) or _WHITEOUT.search(path) or _CODE.search(path) or "node_modules/" in path:
        return False
    return _NAMES.search(path) is not None


def text_finding(path: str, read: Callable[[int], bytes]) -> str:
    """What secret a file contains; empty: none that we know. Files of packages are not read."""
    if _SYSTEM.search(path) or _WHITEOUT.search(path):
        return ""
    data = read(512 * 1024)
    return next((what for what, pattern in _CONTENT if pattern.search(data)), "")


def value_finding(text: str) -> str:
    """The name that is given a secret's value in `text` (a history step, an environment entry); empty: none."""
    for match in _ASSIGNED.finditer(text):
        name, value = match[1], match[2].strip("\"'")
        if not _NO_VALUE.match(value) and not _ABOUT.search(name):
            return name
    return "a URL's password" if _URL.search(text) else ""
