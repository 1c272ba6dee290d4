"""BuildKit's plain progress as a person reads it: what takes time, how long, and a failure in one sentence."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection

from cortex_ops.adapters.registry import refused
from cortex_ops.kernel.errors import OpsError, OwnTestsFailed
from cortex_ops.kernel.progress import Progress

_STEP = re.compile(r"^#(\d+) \[([^\]]+)\] ?(.*)$")
_END = re.compile(r"^#(\d+) (?:DONE ([\d.]+)s|CACHED|CANCELED|ERROR: (.*))$")
_OUTPUT = re.compile(r"^#(\d+) [\d.]+ (.*)$")
_PLACE = re.compile(r"^[\w./-]+:\d+$")
_TELLING = re.compile(r"error|fail|✖|not found|cannot|missing|denied", re.I)
_LOADING = re.compile(r"load metadata for (\S+)")
_UNRESOLVED = re.compile(r"failed to resolve source metadata for (\S+?):?(?:\s|$)")
_AT_ONCE = re.compile(r"(COPY|ADD|WORKDIR|load metadata|exporting)\b")  # said only when they take long after all
_FLAGS = re.compile(r"(?<=^RUN )\s*(--\S+\s+)+")
_NAMED = re.compile(r"^#\d+ naming to (?:docker\.io/)?(\S+) (?:[\d.]+s )?done$")
_PUSHING = re.compile(r"failed to push (\S+?):? ")
# The targets that an image has beside its own: its tests, and its layers for the policy. No service's name has a `_`.
TESTS = "-tests"
LAYERS = "_layers"


class BuildLog:
    """Feed it lines; ask for `seconds` at the end, or for the error.

    `images` maps each bake target to the image it belongs to; `files` maps images to their Dockerfiles; `on_named` is
    told each tag whose image is there.
    """

    def __init__(
        self, progress: Progress, images: dict[str, str], files: dict[str, str], on_named: Callable[[str], None]
    ) -> None:
        self.progress, self.images, self.files, self.on_named = progress, images, files, on_named
        self.seconds: dict[str, float] = dict.fromkeys(images.values(), 0.0)
        self._where: dict[str, tuple[str, str]] = {}  # number → (place, what)
        self._output: dict[str, list[str]] = {}
        self._failed: list[tuple[str, str]] = []  # (number, reason)
        self._all: list[str] = []

    def line(self, line: str) -> None:
        self._all.append(line)
        del self._all[:-500]
        if match := _STEP.match(line):
            number, place, what = match.groups()
            if number not in self._where:
                self._where[number] = (place, what)
                if what and not self._internal(place) and not _AT_ONCE.match(what):
                    self.progress.say(f"    {_step(place, what)}", style="dim")
        elif match := _END.match(line):
            number, seconds, reason = match.groups()
            if reason is not None:
                self._failed.append((number, reason))
            if seconds and number in self._where:
                self._ended(number, float(seconds))
        elif match := _OUTPUT.match(line):
            self._output.setdefault(match[1], []).append(match[2])
        elif match := _NAMED.match(line):
            self.on_named(match[1])

    def _ended(self, number: str, seconds: float) -> None:
        place, what = self._where[number]
        image = self._image(place)
        if image:
            self.seconds[image] = round(self.seconds[image] + seconds, 3)
        if seconds >= 2 and not self._internal(place):
            self.progress.say(f"    {_step(place, what)} took {seconds:.0f} s", style="dim")

    def _image(self, place: str) -> str:
        """The builder names the target first, but not when there is only one."""
        first = place.split(" ")[0]
        if first in self.images:
            return self.images[first]
        owners: Collection[str] = set(self.images.values())
        return next(iter(owners)) if len(owners) == 1 else ""

    @staticmethod
    def _internal(place: str) -> bool:
        return "internal" in place.split(" ")

    def explain(self, error: OpsError) -> OpsError:
        """One sentence: which image, which step, why; the step's last lines as details."""
        text = "\n".join(self._all)
        if full := [line for line in self._all if "no space left on device" in line.lower()]:  # or of a program in it
            remedy = "free some space on the engine's disk; `docker builder prune` empties its build cache"
            return OpsError("the build ran out of disk space", details=full[-1:], remedy=remedy)
        untrusted = re.search(r"https://([^/\s\"]+)/\S*: (?:tls: )?[^\n]*(x509: [^\n]+)", text)
        if untrusted:
            return refused(untrusted[1], untrusted[2])
        number, reason = self._failed[0] if self._failed else ("", "")
        place, what = self._where.get(number, ("", ""))
        image = self._image(place)
        where = self._dockerfile(image)
        if pushed := _PUSHING.search(reason):
            return refused(pushed[1], reason)
        base = _LOADING.search(what) or (_UNRESOLVED.search(text) if not self._said(number) else None)
        if base:
            return missing_base(base[1], where, reason or _last_error(text))
        if number and not self._internal(place):
            return self._step_failed(number, image, place, what, reason, where)
        lines = [line for line in self._all if line.strip()]
        cause = reason or _last_error(text) or error.message
        subject = f"building {image or 'the images'} failed"
        return OpsError(f"{subject}{f' at {where}' if where else ''}: {cause}", details=lines[-12:])

    def _step_failed(self, number: str, image: str, place: str, what: str, reason: str, where: str) -> OpsError:
        said = self._said(number)
        told = next((line for line in reversed(said) if _TELLING.search(line)), said[-1] if said else "")
        cause = told.strip() or re.sub(r"failed to calculate checksum of ref \S+ ", "", reason)
        tests = place.split(" ")[0].endswith(TESTS) and " test" in place
        at = f"in step `{what[:120]}`{f' ({where})' if where else ''}: {cause}"
        details = [*said[-20:], reason] if said else [reason]
        if tests:
            remedy = "correct the tests or what they test"
            return OwnTestsFailed(
                f"the tests of image {image} failed {at}", image=image, details=details, remedy=remedy
            )
        remedy = "correct the Dockerfile or what it runs"
        return OpsError(f"building {image or 'the image'} failed {at}", details=details, remedy=remedy)

    def _said(self, number: str) -> list[str]:
        return [line for line in self._output.get(number, []) if line.strip()]

    def _dockerfile(self, image: str) -> str:
        """The builder shows the file's last part only; which one it is follows from the image."""
        place = next((line.strip() for line in self._all if _PLACE.match(line.strip())), "")
        name, _, line = place.partition(":")
        if not place:
            return self.files.get(image, "")
        full = self.files.get(image, "")
        return f"{full}:{line}" if full.endswith(name) else place


def _step(place: str, what: str) -> str:
    """Where and what, without the mounts of a RUN. A step that targets share is said to be of any of them."""
    return f"{' '.join(place.replace(LAYERS, '').split())}: {_FLAGS.sub('', what)[:60].rstrip()}"


def missing_base(image: str, where: str, reason: str) -> OpsError:
    """The sentence for a base image that cannot be had; `where` is the Dockerfile and line that names it."""
    plain = image.removeprefix("docker.io/library/").removeprefix("docker.io/")
    place = f", named at {where}," if where else ""
    return OpsError(
        f"base image {plain}{place} does not exist or cannot be pulled",
        details=[reason] if reason else [],
        remedy="correct the name, or log in to the registry that has it",
    )


def _last_error(text: str) -> str:
    found = [line for line in text.splitlines() if line.startswith("ERROR:")]
    return found[-1].removeprefix("ERROR: ").removeprefix("failed to solve: ") if found else ""
