"""Starts the MLX model server on the host: mlx_vlm when it is installed, else mlx_lm, else a clear refusal.

It holds no model code of its own and pretends nothing: without MLX there is no server.
"""

import os
import sys
from collections.abc import Mapping
from importlib.util import find_spec

DEFAULT_PORT = "8081"
REMEDY = (
    "cortex-py: neither mlx_vlm nor mlx_lm is installed for {python}: "
    "install one (`pip install mlx-vlm`; on Linux also `pip install 'mlx[cpu]'`) or use Ollama (OLLAMA_URL)"
)


def command(env: Mapping[str, str], installed: set[str], python: str = sys.executable) -> list[str]:
    """The server's command line; raises LookupError with the remedy when no server is installed."""
    # On Linux containers reach only the bridge's address; with OrbStack and Docker Desktop loopback is right.
    listen = ["--host", env.get("MLX_HOST", "127.0.0.1"), "--port", env.get("MLX_PORT", DEFAULT_PORT)]
    if "mlx_vlm" in installed:
        module = "mlx_vlm.server"
        given = {
            "--model": "CHAT_MODEL",
            "--embedding-model": "EMBEDDING_MODEL",
            "--reranker-model": "RERANKER_MODEL",
        }
    elif "mlx_lm" in installed:
        module = "mlx_lm.server"
        given = {"--model": "CHAT_MODEL"}
    else:
        raise LookupError(REMEDY.format(python=python))
    models = [part for flag, name in given.items() if name in env for part in (flag, env[name])]
    return [python, "-m", module, *listen, *models]


def main() -> int:
    """Becomes the model server; returns 1 when there is none."""
    installed = {name for name in ("mlx_vlm", "mlx_lm") if find_spec(name)}
    try:
        argv = command(os.environ, installed)
    except LookupError as error:
        print(error, file=sys.stderr)
        return 1
    os.execv(argv[0], argv)


if __name__ == "__main__":
    sys.exit(main())
