"""Keys are read strictly, made once, and never replaced."""

from __future__ import annotations

import base64
import stat
from pathlib import Path

import pytest

from cortex_ops.backup import keys
from cortex_ops.kernel.errors import InputError
from cortex_ops.kernel.redact import redact
from cortex_ops.kernel.settings import Settings, load_settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings({"CORTEX_OPS_PROJECT": str(tmp_path), "CORTEX_OPS_STATE": str(tmp_path / "state")})


def test_a_demo_gets_keys_once_and_private_ones_are_private(settings: Settings) -> None:
    made = keys.ensure_keys(settings)
    assert set(made) == {keys.SIGNING, keys.SIGNERS, keys.OPERATOR, keys.DRILL, keys.RECIPIENTS}
    assert keys.ensure_keys(settings) == []
    for name in (keys.SIGNING, keys.OPERATOR, keys.DRILL):
        assert stat.S_IMODE((settings.keys / name).stat().st_mode) == 0o600
    assert stat.S_IMODE(settings.keys.stat().st_mode) == 0o700


def test_a_demo_can_sign_trust_encrypt_and_drill(settings: Settings) -> None:
    keys.ensure_keys(settings)
    assert keys.load_signer(settings).key_id in keys.load_trusted(settings).keys
    recipients = keys.load_recipients(settings)
    assert len(recipients) == 2
    assert str(keys.load_drill_identity(settings).to_public()) in recipients


def test_keys_that_people_made_are_not_replaced_or_completed(settings: Settings) -> None:
    keys.ensure_keys(settings)
    before = (settings.keys / keys.RECIPIENTS).read_bytes()
    (settings.keys / keys.DRILL).unlink()
    (settings.keys / keys.SIGNING).unlink()
    old = (settings.keys / keys.SIGNERS).read_text()
    assert keys.ensure_keys(settings) == [keys.SIGNERS, keys.SIGNING]
    assert (settings.keys / keys.RECIPIENTS).read_bytes() == before
    assert (settings.keys / keys.SIGNERS).read_text().startswith(old), "what the old key signed stays readable"
    with pytest.raises(InputError, match=r"backup-drill.identity cannot be read, and is needed to decrypt"):
        keys.load_drill_identity(settings)


def test_a_private_key_that_others_can_read_is_refused(settings: Settings) -> None:
    keys.ensure_keys(settings)
    for name, load in ((keys.SIGNING, keys.load_signer), (keys.DRILL, keys.load_drill_identity)):
        (settings.keys / name).chmod(0o644)
        with pytest.raises(InputError, match=f"{name} is readable by others"):
            load(settings)


def test_a_signer_that_nobody_trusts_is_refused_before_it_signs(settings: Settings) -> None:
    keys.ensure_keys(settings)
    (settings.keys / keys.SIGNERS).write_text("# none\n")
    with pytest.raises(InputError, match=r"backup-signers.txt does not list") as caught:
        keys.load_signer(settings)
    (settings.keys / keys.SIGNERS).write_text(caught.value.remedy.removeprefix("add the line ") + "\n")
    keys.load_signer(settings)


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        (keys.RECIPIENTS, "age1wrong\n", r"backup-recipients.txt:1: 'age1wrong' is no age recipient"),
        (keys.RECIPIENTS, "# nobody\n", "lists no recipient"),
        (keys.SIGNERS, "\nrsa AAAA\n", r"backup-signers.txt:2: expected `ed25519"),
        (keys.SIGNERS, "ed25519 AAAA\n", r"backup-signers.txt:1: expected `ed25519"),
        (keys.SIGNING, "AAAA\n", "holds no ed25519 key"),
        (keys.SIGNING, "öö\n", "holds no ed25519 key"),
        (keys.DRILL, "AGE-SECRET-KEY-1WRONG\n", "holds no age identity"),
        (keys.DRILL, "\n", "holds no age identity"),
    ],
)
def test_a_broken_key_file_is_named_with_what_was_expected(
    settings: Settings, name: str, content: str, sentence: str
) -> None:
    keys.ensure_keys(settings)
    (settings.keys / name).write_text(content)
    load = {
        keys.RECIPIENTS: keys.load_recipients,
        keys.SIGNERS: keys.load_trusted,
        keys.SIGNING: keys.load_signer,
        keys.DRILL: keys.load_drill_identity,
    }[name]
    with pytest.raises(InputError, match=sentence):
        load(settings)


def test_private_keys_are_redacted_once_they_were_read(settings: Settings) -> None:
    keys.ensure_keys(settings)
    keys.load_drill_identity(settings)
    keys.load_signer(settings)
    for name in (keys.DRILL, keys.SIGNING):
        value = (settings.keys / name).read_text().strip()
        assert value not in redact(f"x {value} y")
        assert base64.b64encode(value.encode()).decode()[:20] not in redact(base64.b64encode(value.encode()).decode())
