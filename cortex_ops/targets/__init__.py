"""Where releases run: one protocol, an implementation per kind of target. No target knows another."""
