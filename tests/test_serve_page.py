"""The page of `xpert serve` in a real Chromium, on a laptop's and a phone's screen; skipped where there is none."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import Browser
from command import ROOT
from tiny_chat import served

from xpert_cli import gguf, paths

RUN = "20261128-114500-0000000a"
TOKENS = 24


@pytest.fixture(scope="module")
def server(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """The server with the packaged base and a run whose messages are a sample writer's."""
    home = tmp_path_factory.mktemp("page")
    run = home / "runs" / RUN
    run.mkdir(parents=True)
    adapter = next((paths.packaged("adapters") / "adapters").glob("*concise-playful.gguf"))
    os.link(adapter, run / "adapter.gguf")
    (run / "messages.jsonl").write_text((ROOT / "prompts" / "writers" / "mara.jsonl").read_text("utf-8"), "utf-8")
    info = gguf.base_info(base)
    started = [{"adapter": "elementary-concise-playful", "weight": 1.0}]
    result = {"messages": 20, "loss_base": 3.9, "loss_before": 3.8, "loss_after": 3.6, "started_from": started}
    told = {"name": "mara", "base": {"name": info.name, "fingerprint": info.fingerprint}, "result": result}
    (run / "run.json").write_text(json.dumps(told), "utf-8")
    with served(base, "--context", "512", "--slots", "2", XPERT_HOME=str(home)) as running:
        yield running


@pytest.mark.model
@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_the_page_chats_by_keyboard_side_by_side(
    server: dict[str, Any], tmp_path: Path, width: int, scheme: str
) -> None:
    with Browser(tmp_path) as browser:
        browser.open(server["url"], width, 844, scheme)
        browser.wait("document.querySelector('#status').textContent === 'ready'")
        assert browser.value("[left.value, right.value]") == ["base", "me"]
        assert browser.value("document.activeElement.id") == "text"
        browser.value(f"document.querySelector('#tokens').value = {TOKENS}")

        browser.type("Why do cats purr?")
        browser.press("Enter")
        seen = "[...document.querySelectorAll('.answer p')].map(p => p.textContent.length)"
        browser.wait(f"{seen}.some(n => n > 0)")
        assert browser.value(
            "document.querySelector('#send').disabled && !document.querySelector('#stop').disabled"
        )  # the first words are there before the answer is whole
        browser.wait("document.querySelector('#status').textContent === 'ready'")
        names, answers = browser.value(
            "[[...document.querySelectorAll('.answer h3')].map(e => e.textContent),"
            "[...document.querySelectorAll('.answer p')].map(e => e.textContent)]"
        )
        assert sorted(names) == ["base", "me"]
        assert len(set(answers)) == 2
        assert all(answers)

        places = browser.value("[...document.querySelectorAll('.answer')].map(e => e.getBoundingClientRect().x)")
        assert len(set(places)) == (2 if width > 860 else 1)  # side by side, on a phone one below the other
        assert browser.value("document.documentElement.scrollWidth <= innerWidth")
        paper = {"light": "rgb(255, 255, 255)", "dark": "rgb(18, 23, 30)"}[scheme]
        assert browser.value("getComputedStyle(document.body).backgroundColor") == paper

        if width < 860:
            browser.click("#you > summary")
        browser.wait("document.querySelector('#portrait')?.naturalWidth > 0")
        about = browser.value("document.querySelector('#about').textContent")
        assert "mara" in about
        assert "elementary-" in about
        assert browser.errors == []
        assert {url.split("/")[2] for url in browser.requests if url.startswith("http")} == {
            server["url"].split("/")[2]
        }
        if folder := os.environ.get("XPERT_SCREENSHOTS"):
            browser.screenshot(Path(folder) / f"page-{width}-{scheme}.png")


@pytest.mark.model
def test_the_page_stops_by_escape_begins_anew_and_says_what_its_parts_are(
    server: dict[str, Any], tmp_path: Path
) -> None:
    with Browser(tmp_path) as browser:
        browser.open(server["url"], 1280)
        browser.wait("document.querySelector('#status').textContent === 'ready'")
        browser.value("document.querySelector('#tokens').value = 400")
        browser.value("document.querySelector('#temperature').value = 2")
        browser.type("One line")
        browser.press("Enter", shift=True)
        assert browser.value("document.querySelectorAll('.said').length") == 0
        browser.type("another line, told at length.")
        browser.press("Enter")
        browser.wait("[...document.querySelectorAll('.answer p')].some(p => p.textContent)")
        assert browser.value("document.querySelector('.said').textContent") == "One line\nanother line, told at length."
        browser.press("Escape")
        browser.wait("document.querySelector('#status').textContent === 'ready'")
        assert "stopped" in browser.value("document.querySelector('#log').textContent")
        told = browser.accessible()
        assert {("log", "Conversation"), ("button", "Send"), ("button", "New chat")} <= set(told)
        assert ("combobox", "Right answers with") in told
        assert any(role == "textbox" and name.startswith("Message") for role, name in told)
        assert all(name for role, name in told if role in ("button", "combobox", "textbox", "image", "spinbutton"))
        browser.click("#new")
        assert browser.value("document.querySelector('#log').textContent") == ""
        assert browser.errors == []


@pytest.mark.model
def test_the_page_asks_for_the_key(base: Path, tmp_path: Path) -> None:
    home = {"XPERT_HOME": str(tmp_path / "home"), "XPERT_API_KEY": "s3cret"}
    with served(base, "--context", "256", "--slots", "1", **home) as server, Browser(tmp_path) as browser:
        assert server["key"] is None  # the user knows the key
        browser.open(server["url"], 390)
        browser.wait("document.querySelector('#locked').open")
        assert browser.value("document.activeElement.id") == "key"
        browser.type("s3cret")
        browser.press("Enter")
        browser.wait("document.querySelector('#status').textContent === 'ready'")
        assert browser.value("left.options.length") > 1
