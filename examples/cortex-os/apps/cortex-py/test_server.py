"""Tests of the launcher: `python -m unittest` in this folder. The servers themselves are not started."""

import unittest

from server import command


class LauncherTest(unittest.TestCase):
    """Which server is started, and how."""

    def test_mlx_vlm_is_preferred_and_gets_all_models(self) -> None:
        env = {"CHAT_MODEL": "a", "EMBEDDING_MODEL": "b", "RERANKER_MODEL": "c", "MLX_HOST": "172.17.0.1"}
        argv = " ".join(command(env, {"mlx_vlm", "mlx_lm"}, "py"))
        self.assertEqual(
            argv,
            "py -m mlx_vlm.server --host 172.17.0.1 --port 8081 --model a --embedding-model b --reranker-model c",
        )

    def test_mlx_lm_alone_serves_chat(self) -> None:
        argv = command({"CHAT_MODEL": "a", "EMBEDDING_MODEL": "b", "MLX_PORT": "9"}, {"mlx_lm"}, "py")
        self.assertEqual(" ".join(argv), "py -m mlx_lm.server --host 127.0.0.1 --port 9 --model a")

    def test_without_either_the_remedy_is_said(self) -> None:
        with self.assertRaisesRegex(LookupError, "neither mlx_vlm nor mlx_lm is installed for py: install one"):
            command({}, set(), "py")


if __name__ == "__main__":
    unittest.main()
