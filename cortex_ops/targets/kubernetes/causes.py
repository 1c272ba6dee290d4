"""What the words of a kubelet, a registry or an admission mean: is it over, or may it heal?

The reasons are those of the kubelet (`pkg/kubelet/images`, `pkg/kubelet/container`); the words are containerd's,
CRI-O's and the registries'. What is not known to be final may heal: a wait costs a deadline, a hasty end a release.
"""

from __future__ import annotations

import re

# Whatever else such a message says: somebody was not there, was too slow, or asked for patience.
_HEALS = re.compile(
    r"deadline ?exceeded|time(d)? ?-?out|connection (refused|reset)|no route to host|network is unreachable"
    r"|no such host|server misbehaving|temporary failure|temporarily unavailable|too ?many ?requests|rate limit"
    r"|qps exceeded|\b429\b|\b5\d\d (internal|bad|service|gateway)|status( code)?:? 5\d\d"
    r"|registry ?unavailable|unexpected EOF",
    re.IGNORECASE,
)
_NO_IMAGE = (
    ("its registry refuses the pull", r"unauthori[sz]ed|\b401\b|\b403\b|forbidden|access (is |to .* is )?denied"),
    ("its registry refuses the pull", r"denied: |authorization failed|no basic auth credentials"),
    ("it is not built for the node's platform", r"no match(ing manifest)? for (platform|.* in the manifest list)"),
    ("it is not found", r"not ?found|(manifest|name)[ _]unknown|does not exist"),
    ("the node and its registry do not speak the same TLS", r"x509: |HTTP response to HTTPS client"),
)
_IMAGE = {
    "InvalidImageName": "its name is invalid",
    "ErrImageNeverPull": "it is not on the node, and may not be pulled",
    "ImageInspectError": "the node cannot read it",
    "SignatureValidationFailed": "its signature is not accepted",
}
_CACHE = re.compile(r"failed to sync \w+ cache")
_STARTS = ("CreateContainerError", "RunContainerError")
_STOPS = ("ContainerCannotRun", "StartError")
# containerd keeps the name of an attempt that was too slow until it has cleared it away.
_NAME_TAKEN = re.compile(r"is reserved for|already in use")

_REFUSED = re.compile(
    r"exceeded quota|failed quota|violates podsecurity|is forbidden|denied the request|is invalid", re.I
)
# The account, or what answers for it, is a moment late; a webhook that cannot be reached may be again.
_LATE = re.compile(
    r"error looking up service account|failed calling webhook|internal error occurred|not yet ready", re.I
)


def image_cause(reason: str, message: str, image: str) -> str:
    """Why this image will never be there, or "". `reason` and `message` are those of a waiting container."""
    if reason in _IMAGE:
        return _IMAGE[reason]
    if reason not in ("ErrImagePull", "ImagePullBackOff"):
        return ""
    words = _without_names(message, image)
    if _HEALS.search(words):
        return ""
    return next((cause for cause, pattern in _NO_IMAGE if re.search(pattern, words, re.IGNORECASE)), "")


def start_cause(reason: str, message: str) -> str:
    """Why this container can never be made or started, or "". `reason` is of its waiting or its terminated state."""
    if reason == "CreateContainerConfigError":
        return "" if _CACHE.search(message) else f"it cannot be configured: {short(message) or reason}"
    if reason in _STARTS and _NAME_TAKEN.search(message):
        return ""
    if reason in (*_STARTS, *_STOPS) and not _HEALS.search(message):
        wrong = "it is not built for the node's platform: " if "exec format error" in message else ""
        return f"it cannot be started: {wrong}{short(message) or reason}"
    return ""


def refusal(message: str) -> str:
    """The message when it says that pods are not admitted as they are (quota, Pod Security, a policy), else ""."""
    if _LATE.search(message) or _HEALS.search(message):
        return ""
    return short(message) if _REFUSED.search(message) else ""


def is_quota(message: str) -> bool:
    return "exceeded quota" in message


def short(text: str, limit: int = 300) -> str:
    """One line of at most `limit` characters. What a message ends with is the cause, so its middle goes."""
    line = " ".join(text.split())
    if len(line) <= limit:
        return line
    return f"{line[: limit // 3]} … {line[-(limit - limit // 3 - 3) :]}"


def _without_names(message: str, image: str) -> str:
    """Names are no causes: a service may be called `timeout` or its image `forbidden`."""
    words = re.sub(r"https?://\S+", "", message)
    repository = re.sub(r":[^/:]*$", "", image.partition("@")[0])
    return words.replace(image, "").replace(repository, "") if repository else words
