"""The demo: a small AudioSet of rendered music behind a local server. It makes its own audio."""
