"""`demo` and `down`: the main job on this machine from nothing to a proven backup, and its removal."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time

from cortex_ops.kernel.errors import InterruptedByUser
from cortex_ops.kernel.process import spawn


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    demo = commands.add_parser("demo", help="release the sample here, test it, back it up, prove the backup")
    demo.add_argument("-e", "--environment", default="local")
    demo.set_defaults(run=run_demo)

    down = commands.add_parser("down", help="remove what releases created here; keep data unless --purge")
    down.add_argument("-e", "--environment", action="append", help="default: every environment")
    down.add_argument("--purge", action="store_true", help="also data volumes, the store and generated secrets")
    down.set_defaults(run=run_down)


def run_demo(args: argparse.Namespace) -> int:
    from cortex_ops.backup.keys import ensure_keys
    from cortex_ops.secrets.keys import ensure_demo_secrets
    from cortex_ops.wiring import wire

    env = args.environment
    w = wire()
    made = ensure_demo_secrets(w.stack, w.environment(env), w.settings)
    if made:
        w.progress.say(f"✓ generated {len(made)} secrets for {env}")
    ensure_keys(w.settings)
    for job in ("release", "backup", "restore_drill"):
        w.progress.say(f"\n── {job} ──", style="bold")
        code = _execute(job, env, str(w.settings.project))
        if code:
            w.progress.say(f"✗ the demo stopped in {job}; the lines above say why", style="red")
            return code
    _summary(env)
    return 0


def _execute(job: str, env: str, project: str) -> int:
    """A process of its own, exactly what CI runs. Told to end, we tell it once and wait: it undoes what it began.
    Told again, it is ended, and the next run settles what it left."""
    home = os.environ.get("DAGSTER_HOME") or f"{project}/.dagster"
    argv = [sys.executable, "-W", "ignore", "-m", "dagster", "job", "execute", "-m", "cortex_ops.definitions"]
    argv += ["-j", job, "--tags", f'{{"dagster/partition": "{env}"}}']
    told: list[int] = []  # a handler that raised could do so while the process starts, and lose it
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {one: signal.signal(one, lambda number, _frame: told.append(number)) for one in numbers}
    try:
        with spawn(argv, cwd=project, env={"DAGSTER_HOME": home}) as child:
            while not told and child.poll() is None:
                time.sleep(0.05)
            if told:
                child.send_signal(signal.SIGTERM)
            while len(told) < 2 and child.poll() is None:
                time.sleep(0.05)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return InterruptedByUser.exit_code if told else child.returncode


def _summary(env: str) -> None:
    from cortex_ops.backup.catalog import list_sets
    from cortex_ops.backup.keys import load_trusted
    from cortex_ops.wiring import wire

    w = wire()
    history = w.history(env)
    live = history.live()
    assert live is not None and live.outcome is not None
    verdict = history.verdict(live.outcome.serves)
    say = w.progress.say
    say(f"\n── {env} ──", style="bold")
    for name, url in w.target(env).endpoints().items():
        say(f"  {name:<16} {url}")
    say(f"  {'live':<16} r{live.outcome.serves}, revision {live.intent.revision[:12]}, by {live.intent.actor}")
    for name, ref in live.intent.lock.images.items():
        stand_in = "  (stand-in)" if _is_stand_in(w, name) else ""
        say(f"  {'image':<16} {name:<18} {ref.reference()}{stand_in}")
    if verdict is not None:
        passed = sum(case.outcome == "passed" for case in verdict.cases)
        say(f"  {'tests':<16} {passed} of {len(verdict.cases)} passed in {verdict.seconds:.1f} s")
    for found in list_sets(w.store, env, load_trusted(w.settings))[:1]:
        say(f"  {'backup':<16} {found.line()}")
    say(f"  {'Dagster page':<16} make ui, then http://127.0.0.1:3000")
    say(f"  {'history':<16} .venv/bin/cortex-ops history -e {env}")


def _is_stand_in(w, name: str) -> bool:  # type: ignore[no-untyped-def]
    store = w.stack.stores.get(name)
    return store is not None and store.image in w.settings.standins


def run_down(args: argparse.Namespace) -> int:
    from cortex_ops.images import retention
    from cortex_ops.kernel.clock import iso
    from cortex_ops.kernel.errors import OpsError
    from cortex_ops.targets.compose.teardown import remove_environment
    from cortex_ops.wiring import wire

    w = wire()
    named = [w.environment(name) for name in args.environment or w.stack.environments]
    for one in named:
        if one.target == "kubernetes":
            _down_in_cluster(w, one.name, data=args.purge)
    environments = [one.name for one in named if one.target != "kubernetes"]
    try:
        w.engine.client  # noqa: B018 - connects
    except OpsError as error:
        w.progress.say(f"nothing to remove: {error.message}")
        return 0
    for env in environments:
        removed = remove_environment(w.engine, w.prefix(env), data=args.purge)
        for line in removed:
            w.progress.say(f"  removed {line}")
        if any(line.startswith("container ") for line in removed):  # else it runs elsewhere, and the store is shared
            w.history(env).take_down(w.settings.actor, iso(w.clock.now()))
    if args.purge:
        ours = retention.in_engine(w.engine, retention.owner_of(w.store))
        everything = [retention.Decision(image=one, remove=True, reason="everything goes") for one in ours]
        for line in retention.apply(w.engine, everything).removed:
            w.progress.say(f"  removed {line}")
        _purge_state(w)
    return 0


def _down_in_cluster(w, env: str, *, data: bool) -> None:  # type: ignore[no-untyped-def]
    from cortex_ops.kernel.clock import iso
    from cortex_ops.kernel.errors import OpsError
    from cortex_ops.targets.kubernetes.teardown import remove_environment

    cluster = w.cluster(env)
    cluster.patience = 0  # a cluster that does not run has nothing of ours that runs
    try:
        removed = remove_environment(cluster, w.stack.name, w.namespace(env), data=data)
    except OpsError as error:
        w.progress.say(f"nothing to remove of {env}: {error.message}")
        return
    for line in removed:
        w.progress.say(f"  removed {line}")
    if removed:
        w.history(env).take_down(w.settings.actor, iso(w.clock.now()))


def _purge_state(w) -> None:  # type: ignore[no-untyped-def]
    import shutil

    for name in ("store", "work", "secrets", "keys", "cache", "logs"):
        shutil.rmtree(w.settings.state / name, ignore_errors=True)
    w.progress.say(f"  removed the state below {w.settings.state}")
