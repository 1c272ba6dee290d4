"""What we take for the build context is what the real builder sees: names, kinds, modes and bytes."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import subprocess
import tarfile
from pathlib import Path

from cortex_ops.source.context import Context
from cortex_ops.source.fingerprint import fingerprint
from cortex_ops.source.hashes import HashCache
from cortex_ops.source.ignore import read_ignore
from tests.support.engine import docker_env, record

NAMES = ("a", "b", "ab", "x.md", "README.md", "node_modules", "dist", ".env", "a b", "keep", "c-1", "[z]")
PATTERNS = (
    *("a", "b", "ab", "*", "**", "*.md", "**/*.md", "!README.md", "!**/README.md", "node_modules", "**/node_modules"),
    *(
        "a/*",
        "!a/b",
        "a/**",
        "!a/**/keep",
        "**/dist",
        ".*",
        "?",
        "a?",
        "[ab]",
        "[^a]*",
        "**b",
        "**/a/**",
        "/b/",
        "./a",
    ),
    *(
        "../a",
        "a/../b",
        "!keep",
        "!*/keep",
        "a\\ b",
        "a b",
        "# note",
        "",
        "   ",
        "!a",
        "*/b",
        "**/a/b",
        "\\[z]",
        "a**",
    ),
    *("!b", "b/a", "!a/b/", "*/*", "*/*/*", "!**/keep", "c-[0-9]", "a/**/b", "!a/**/b", "**/", "!dist/a", "."),
)
FIXED = (
    "x/y\n!x\n",
    "\ufeffa\r\n# b\r\n!a/b\r\n",
    "**foo\n",
    "a\n!a/b\na/b/a\n",
    "*\n!a\n!b/keep\n",
    "*\n!**/keep\n",
    "**/node_modules\n**/dist\n**/.env\n**/.env.*\n",
)


def make_tree(root: Path, rng: random.Random, depth: int = 0) -> None:
    root.mkdir(parents=True, exist_ok=True)
    for name in rng.sample(NAMES, rng.randint(2, 6)):
        path, what = root / name, rng.random()
        if what < 0.4 and depth < 3:
            make_tree(path, rng, depth + 1)
            path.chmod(rng.choice((0o755, 0o700, 0o775)))
        elif what < 0.5:
            path.symlink_to(rng.choice(("a", "../b", "/nowhere")))
        elif what < 0.53:
            os.mkfifo(path)
        else:
            path.write_text(f"{name}{rng.random()}")
            path.chmod(rng.choice((0o644, 0o600, 0o755, 0o4755)))


def build_all(folder: Path, targets: dict[str, tuple[Path, str]]) -> dict[str, dict[str, tuple[str, int, str]]]:
    """Build `name → (context, dockerfile)` in one go; what each has below `/c`, as (kind, mode, sha256 or target)."""
    document = {
        name: {"context": str(context), "dockerfile": dockerfile, "output": [f"type=tar,dest={folder}/{name}.tar"]}
        for name, (context, dockerfile) in targets.items()
    }
    file = folder / "bake.json"
    file.write_text(json.dumps({"group": {"default": {"targets": sorted(document)}}, "target": document}))
    subprocess.run(
        [record()["docker"], "buildx", "bake", "--progress", "quiet", "-f", str(file)],
        capture_output=True,
        env={**docker_env(), "BUILDX_BAKE_ENTITLEMENTS_FS": "0", "BUILDX_NO_DEFAULT_ATTESTATIONS": "1"},
        check=True,
        timeout=240,
    )
    return {name: read_tar(folder / f"{name}.tar") for name in targets}


def read_tar(path: Path) -> dict[str, tuple[str, int, str]]:
    found = {}
    with tarfile.open(path) as archive:
        for member in archive:
            name = member.name.removeprefix("./").rstrip("/")
            if not name.startswith("c/"):
                continue
            if member.isdir():
                value = ("d", member.mode, "")
            elif member.issym():
                value = ("l", 0, member.linkname)
            elif member.isfile():
                body = archive.extractfile(member)
                assert body is not None
                value = ("f", member.mode, hashlib.sha256(body.read()).hexdigest())
            else:
                value = ("special", member.mode, "")
            found[name.removeprefix("c/")] = value
    return found


def ours(context: Path, dockerfile: str) -> dict[str, tuple[str, int, str]]:
    tree = Context(context, read_ignore(context, dockerfile), HashCache(None))
    return {
        path: (entry.kind.partition("-")[0], entry.mode, "" if entry.kind == "d" else entry.digest)
        for path, entry in tree.entries()
    }


def test_the_builder_sees_what_we_say_it_sees(tmp_path: Path) -> None:
    seed = int(os.environ.get("CORTEX_OPS_TEST_SEED", "20261125"))
    rng = random.Random(seed)
    rules = [*FIXED, *("\n".join(rng.choices(PATTERNS, k=rng.randint(1, 6))) for _ in range(52))]
    targets: dict[str, tuple[Path, str]] = {}
    for number, text in enumerate(rules):
        context = tmp_path / f"c{number}"
        make_tree(context, rng)
        (context / "x").mkdir(exist_ok=True)
        (context / "x" / "y").write_text("1")
        (context / "xfoo").write_text("1")
        # A name that no rule matches, so that there is always something to copy.
        (context / "0").write_text("FROM scratch\nCOPY . /c\n")
        own = rng.random() < 0.3
        (context / ("0.dockerignore" if own else ".dockerignore")).write_text(text, newline="")
        if own:
            (context / ".dockerignore").write_text("*")
        targets[f"c{number}"] = (context, "0")
    built = build_all(tmp_path, targets)
    for name, (context, dockerfile) in targets.items():
        text = rules[int(name[1:])]
        assert ours(context, dockerfile) == built[name], f"seed {seed}, {name}, rules {text!r}"


def test_an_empty_ignore_file_of_a_dockerfiles_own_is_one(tmp_path: Path) -> None:
    context = tmp_path / "context"
    context.mkdir()
    (context / "a").write_text("1")
    (context / "Dockerfile").write_text("FROM scratch\nCOPY . /c\n")
    (context / ".dockerignore").write_text("a\n")
    (context / "Dockerfile.dockerignore").write_text("")
    assert build_all(tmp_path, {"one": (context, "Dockerfile")})["one"] == ours(context, "Dockerfile")


def test_whatever_changes_the_built_files_changes_the_fingerprint(tmp_path: Path) -> None:
    """Random edits of a tree: equal fingerprints must mean equal files in the image."""
    rng = random.Random(7)
    base = tmp_path / "base"
    make_tree(base, rng)
    for path in base.iterdir():
        if path.is_symlink():  # one that leads nowhere stops a build that names it
            path.unlink()
    (base / "link").symlink_to("real")
    (base / "real").mkdir()
    (base / "real" / "file").write_text("1")
    (base / "odd").mkdir()
    (base / "odd" / "to").symlink_to("../real")
    text = "FROM scratch\nCOPY link /c/l\nCOPY odd/t* /c/o\nCOPY a* /c/a/\nCOPY [^a-z]* /c/z/\n"
    (base / "Dockerfile").write_text(text + "COPY --chmod=644 real/../real/file /c/f\n")
    (base / "a0").write_text("1")
    (base / "0z").write_text("1")
    targets: dict[str, tuple[Path, str]] = {}
    for number in range(24):
        context = tmp_path / f"e{number}"
        shutil.copytree(base, context, symlinks=True, copy_function=copy)
        files = sorted(p for p in context.rglob("*") if p.is_file() and not p.is_symlink() and p.name != "Dockerfile")
        victim = rng.choice(files)
        how = rng.randint(0, 4)
        if how == 0:
            victim.write_text(f"edit {rng.random()}")
        elif how == 1:
            victim.chmod(0o755 if victim.stat().st_mode & 0o777 != 0o755 else 0o644)
        elif how == 2:
            victim.rename(victim.with_name(victim.name + "2"))
        elif how == 3:
            (victim.parent / "new").mkdir()
        else:
            (victim.parent / "new").symlink_to("nowhere")
        targets[f"e{number}"] = (context, "Dockerfile")
    built = build_all(tmp_path, targets)
    prints = {
        name: fingerprint(context, "Dockerfile", cache=HashCache(None)) for name, (context, _) in targets.items()
    }
    by_print: dict[str, dict[str, tuple[str, int, str]]] = {}
    for name, files_ in built.items():
        assert by_print.setdefault(prints[name], files_) == files_, name
    assert len(by_print) > 5, "the edits did reach the image"


def copy(source: str, target: str) -> None:
    if Path(source).is_fifo():
        os.mkfifo(target)
    else:
        shutil.copy2(source, target)
