"""`xpert serve`: with the openai package, simonw's llm and curl, which nobody here wrote, and under load."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from command import ROOT
from tiny_chat import served, write_chat_base
from tiny_gguf import adapter

from xpert_cli import gguf, paths
from xpert_cli.errors import BadInput
from xpert_cli.llama.model import Vocabulary
from xpert_cli.llama.slots import Draw, Slots
from xpert_cli.serve import api
from xpert_cli.serve.api import ApiError
from xpert_cli.serve.engine import Engine, Job
from xpert_cli.serve.guard import LOOPBACK, Guard
from xpert_cli.serve.server import Address

GREEDY: dict[str, Any] = {"temperature": 0, "max_tokens": 16}


def write_run(home: Path, name: str, base: Path, seed: int, when: int) -> Path:
    """A finished run's folder, with a random adapter."""
    folder = home / "runs" / f"20261128-1145{when:02}-0000000{seed}"
    folder.mkdir(parents=True)
    gguf.write_adapter(adapter(seed), folder / "adapter.gguf")
    info = gguf.base_info(base)
    told = {
        "name": name,
        "base": {"name": info.name, "fingerprint": info.fingerprint},
        "result": {"messages": 20, "loss_base": 3.0, "loss_before": 2.5, "loss_after": 2.0, "started_from": []},
    }
    (folder / "run.json").write_text(json.dumps(told), "utf-8")
    os.utime(folder / "run.json", (1_795_000_000 + when, 1_795_000_000 + when))
    return folder


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A tiny base, and a home with two runs on it, `first` and the newer `second`."""
    folder = tmp_path_factory.mktemp("serve")
    base = write_chat_base(folder / "tiny.gguf")
    for number, name in enumerate(("first", "second"), 1):
        write_run(folder / "home", name, base, number, number)
    return base, folder / "home"


@pytest.fixture(scope="module")
def server(place: tuple[Path, Path]) -> Iterator[dict[str, Any]]:
    """The server, with 512 tokens for each of four requests."""
    base, home = place
    config = str(home / "config")
    with served(base, "--context", "512", "--slots", "4", XPERT_HOME=str(home), XDG_CONFIG_HOME=config) as running:
        yield running


@pytest.fixture
def client(server: dict[str, Any]) -> Any:
    from openai import OpenAI

    return OpenAI(base_url=server["api"], api_key="none", max_retries=0)


def said(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


def metric(server: dict[str, Any], name: str) -> float:
    lines = httpx.get(f"{server['url']}/metrics").text.splitlines()
    return float(next(line.split()[1] for line in lines if line.startswith(f"xpert_{name} ")))


def wait_for(condition: Any, seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)


# -- with other people's clients


def test_models_are_me_the_base_and_the_runs(server: dict[str, Any], client: Any) -> None:
    assert [model.id for model in client.models.list()] == ["me", "base", "run:second", "run:first"]
    assert server["models"] == ["me", "base", "run:second", "run:first"]
    assert client.models.retrieve("run:first").id == "run:first"
    assert server["key"] is None
    assert httpx.get(f"{server['url']}/health").json() == {"status": "ok"}


def test_openai_answers_are_the_same_whole_and_streamed(client: Any) -> None:
    options = {"messages": said("Hello!"), "model": "run:first", "temperature": 0.8, "seed": 7, "max_tokens": 24}
    whole = client.chat.completions.create(**options)
    stream = list(client.chat.completions.create(**options, stream=True, stream_options={"include_usage": True}))
    assert stream[0].choices[0].delta.role == "assistant"
    pieces = [choice.delta.content or "" for chunk in stream for choice in chunk.choices]
    assert "".join(pieces) == whole.choices[0].message.content != ""
    assert stream[-2].choices[0].finish_reason == whole.choices[0].finish_reason
    counted = whole.usage.prompt_tokens, whole.usage.completion_tokens
    assert (stream[-1].usage.prompt_tokens, stream[-1].usage.completion_tokens) == counted
    assert whole.usage.prompt_tokens == len("|user\nHello!/|assistant\n")  # a byte a token, and three control tokens
    other = client.chat.completions.create(**{**options, "seed": 8})
    assert other.choices[0].message.content != whole.choices[0].message.content


def test_what_the_slots_say_is_what_llama_cpp_says_alone(client: Any, place: tuple[Path, Path]) -> None:
    base, home = place
    newest = next((home / "runs").glob("*2"))
    with Slots(base, context=512) as slots:
        for model, adapters in (("base", ()), ("me", (gguf.WeightedAdapter.open(newest / "adapter.gguf"),))):
            slots.apply(adapters)
            tokens = slots.chat("What now?")
            expected = slots.detokenize(list(slots.generate_tokens(tokens, max_tokens=16, temperature=0.0)))
            answer = client.chat.completions.create(model=model, messages=said("What now?"), **GREEDY)
            assert answer.choices[0].message.content == expected
            assert expected


def test_stop_texts_end_an_answer_and_are_not_in_it(client: Any) -> None:
    options = {"model": "base", "messages": said("Go on."), **GREEDY}
    full = client.chat.completions.create(**options).choices[0].message.content
    stop = full[5:8]
    cut = client.chat.completions.create(**options, stop=["never in it", stop])
    assert cut.choices[0].message.content == full[: full.index(stop)]
    assert cut.choices[0].finish_reason == "stop"
    pieces = client.chat.completions.create(**options, stop=stop, stream=True)
    assert "".join(piece.choices[0].delta.content or "" for piece in pieces) == full[: full.index(stop)]


def test_logprobs_are_of_the_drawn_tokens(client: Any) -> None:
    answer = client.chat.completions.create(
        model="base", messages=said("Hi"), logprobs=True, top_logprobs=3, temperature=0, max_tokens=6
    )
    tokens = answer.choices[0].logprobs.content
    assert "".join(one.token for one in tokens) == answer.choices[0].message.content
    for one in tokens:
        assert one.top_logprobs[0].token == one.token  # the likeliest was taken
        assert one.logprob == one.top_logprobs[0].logprob < 0
        assert [other.logprob for other in one.top_logprobs] == sorted(
            (other.logprob for other in one.top_logprobs), reverse=True
        )
    old = client.completions.create(model="base", prompt="Hi", logprobs=2, temperature=0, max_tokens=4)
    assert len(old.choices[0].logprobs.tokens) == len(old.choices[0].logprobs.token_logprobs) == 4
    assert "".join(old.choices[0].logprobs.tokens) == old.choices[0].text


def test_logprobs_of_a_completion_say_where_each_token_begins(client: Any) -> None:
    asked = {"model": "base", "prompt": "Once", "logprobs": 2, **GREEDY}
    choice = client.completions.create(**asked).choices[0]
    assert choice.logprobs.text_offset == list(range(16))  # a byte a token
    assert "".join(choice.logprobs.tokens) == choice.text
    streamed = [chunk.choices[0].logprobs for chunk in client.completions.create(**asked, stream=True)]
    assert [at for part in streamed for at in part.text_offset] == list(range(16))


@pytest.mark.model
def test_the_caches_adapters_are_models_alone_and_mixed(base: Path, tmp_path: Path) -> None:
    plain, playful = "elementary-concise-plain", "elementary-concise-playful"
    with served(base, "--slots", "2", XPERT_HOME=str(tmp_path)) as running:
        api, root = running["api"], running["url"]

        def answer(model: str, **more: Any) -> str:
            asked = {"model": model, "messages": said("Why do cats purr?"), **GREEDY, "max_tokens": 12, **more}
            told = httpx.post(f"{api}/chat/completions", json=asked, timeout=60).json()
            return str(told["choices"][0]["message"]["content"])

        listed = httpx.get(f"{root}/lora-adapters").json()
        numbers = {one["name"]: one["id"] for one in listed}
        assert [one["scale"] for one in listed] == [0.0] * 8
        assert {f"cache:{plain}", f"cache:{playful}"} <= set(numbers) == set(running["models"]) - {"base"}
        mixed = answer(f"cache:{plain}=0.6+cache:{playful}=0.4")
        scales = [{"id": numbers[f"cache:{plain}"], "scale": 0.6}, {"id": numbers[f"cache:{playful}"], "scale": 0.4}]
        assert answer("base", lora=scales) == mixed
        assert len({mixed, answer("base"), answer(f"cache:{plain}"), answer(f"cache:{playful}")}) == 4
        changed = {one["id"]: one["scale"] for one in httpx.post(f"{root}/lora-adapters", json=scales).json()}
        assert changed == dict.fromkeys(numbers.values(), 0.0) | {one["id"]: one["scale"] for one in scales}
        assert answer("default") == answer("") == mixed
        assert answer(f"cache:{plain}=0+base") == answer("base")


def test_a_conversation_is_not_evaluated_twice(client: Any) -> None:
    first = client.chat.completions.create(model="me", messages=said("A long message " * 8), **GREEDY)
    turns = [
        *said("A long message " * 8),
        {"role": "assistant", "content": first.choices[0].message.content},
        *said("And now?"),
    ]
    second = client.chat.completions.create(model="me", messages=turns, **GREEDY)
    assert second.usage.prompt_tokens_details.cached_tokens >= first.usage.prompt_tokens
    other = client.chat.completions.create(model="base", messages=turns, **GREEDY)
    # What another adapter set evaluated is no use; any chat on the base begins with the same few tokens.
    assert other.usage.prompt_tokens_details.cached_tokens <= len("|user\n")


def test_a_mixture_is_the_same_by_name_and_by_scales(server: dict[str, Any], client: Any) -> None:
    listed = httpx.get(f"{server['url']}/lora-adapters").json()
    assert [(one["id"], one["name"], one["scale"]) for one in listed] == [(0, "run:second", 1.0), (1, "run:first", 0.0)]
    mixed = {"messages": said("Mixed?"), **GREEDY}
    name = "run:first=0.75+run:second=0.25"
    by_name = client.chat.completions.create(model=name, **mixed).choices[0].message.content
    scales = [{"id": 0, "scale": 0.25}, {"id": 1, "scale": 0.75}]
    by_scales = client.chat.completions.create(model="base", **mixed, extra_body={"lora": scales})
    assert by_scales.choices[0].message.content == by_name
    alone = client.chat.completions.create(model="me", **mixed).choices[0].message.content
    assert by_name != alone
    try:
        posted = httpx.post(f"{server['url']}/lora-adapters", json=scales).json()
        assert [one["scale"] for one in posted] == [0.25, 0.75]
        assert client.chat.completions.create(model="default", **mixed).choices[0].message.content == by_name
    finally:
        httpx.post(f"{server['url']}/lora-adapters", json=[{"id": 0, "scale": 1.0}])
    assert client.chat.completions.create(model="default", **mixed).choices[0].message.content == alone


def test_an_alias_is_a_model(server: dict[str, Any], client: Any, place: tuple[Path, Path]) -> None:
    config, newest = place[1] / "config" / "xpert" / "config.ini", next((place[1] / "runs").glob("*2"))
    paths.make_private(config.parent)
    lines = [f"file = {newest}=0.5", "mix = first=0.5+last=0.5", "gone = run:nobody", "odd = a=x"]
    config.write_text("\n".join(["[aliases]", *lines]), "utf-8")
    try:
        assert [model.id for model in client.models.list()][4:] == ["file", "mix"]
        for alias, same in (
            ("file", "me=0.5"),
            ("MIX", "run:first=0.5+run:second=0.5"),
            ("mix=0.5", "me=0.25+run:first=0.25"),
        ):
            answers = [
                client.chat.completions.create(model=model, messages=said("Mix!"), **GREEDY).choices[0].message.content
                for model in (alias, same)
            ]
            assert answers[0] == answers[1] != ""
        for model in ("gone", f"file:{newest.parent}"):
            asked = {"model": model, "messages": said("Hi")}
            assert httpx.post(f"{server['api']}/chat/completions", json=asked).status_code == 404
        asked = {"model": "odd", "messages": said("Hi")}
        assert "no weight" in httpx.post(f"{server['api']}/chat/completions", json=asked).json()["error"]["message"]
    finally:
        config.unlink()


def test_errors_have_openai_s_shape(server: dict[str, Any], client: Any) -> None:
    import openai

    with pytest.raises(openai.NotFoundError) as missing:
        client.chat.completions.create(model="gpt-4o", messages=said("Hi"))
    assert missing.value.code == "model_not_found"
    with pytest.raises(openai.BadRequestError) as long:
        client.chat.completions.create(model="base", messages=said("x" * 600))
    assert long.value.code == "context_length_exceeded"
    with pytest.raises(openai.BadRequestError) as several:
        client.chat.completions.create(model="base", messages=said("Hi"), n=2)
    assert (several.value.code, several.value.param) == ("unsupported_value", "n")
    assert httpx.get(f"{server['url']}/v1/nothing").json()["error"]["code"] == "unknown_url"
    assert httpx.get(f"{server['url']}/v1/completions").status_code == 405
    assert httpx.post(f"{server['url']}/lora-adapters", json=[{"id": 9, "scale": 1.0}]).status_code == 400
    large = httpx.post(f"{server['url']}/v1/completions", content=b"x" * ((1 << 20) + 1))
    assert (large.status_code, large.json()["error"]["code"]) == (413, "body_too_large")


def test_another_page_or_host_name_is_refused(server: dict[str, Any]) -> None:
    url = f"{server['url']}/v1/models"
    assert httpx.get(url, headers={"Origin": "https://evil.example"}).json()["error"]["code"] == "wrong_origin"
    assert httpx.get(url, headers={"Host": "evil.example"}).json()["error"]["code"] == "wrong_host"
    assert httpx.get(url, headers={"Origin": server["url"]}).status_code == 200


def test_llm_talks_to_it(server: dict[str, Any], tmp_path: Path) -> None:
    program = Path(sys.executable).with_name("llm")
    if not program.exists():
        pytest.skip("the llm command is not installed")
    config = f"- model_id: mine\n  model_name: me\n  api_base: {server['api']}\n  api_key_name: mine\n"
    (tmp_path / "extra-openai-models.yaml").write_text(config, "utf-8")
    env = {**os.environ, "LLM_USER_PATH": str(tmp_path), "PYTHONPATH": ""}
    (tmp_path / "keys.json").write_text('{"mine": "none"}', "utf-8")
    answers = set()
    for extra in ([], ["--no-stream"]):
        command = [str(program), "-m", "mine", "-o", "temperature", "0", "-o", "max_tokens", "12", *extra, "Hello"]
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        answers.add(done.stdout.strip())
    assert len(answers) == 1
    assert answers != {""}


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_curl_streams(server: dict[str, Any]) -> None:
    body = json.dumps({"model": "base", "prompt": "Once upon", "stream": True, **GREEDY})
    done = subprocess.run(
        ["curl", "-sN", f"{server['api']}/completions", "-d", body], capture_output=True, text=True, check=True
    )
    lines = [line for line in done.stdout.split("\n\n") if line]
    assert lines[-1] == "data: [DONE]"
    pieces = [json.loads(line.removeprefix("data: "))["choices"][0] for line in lines[:-1]]
    assert len("".join(piece["text"] for piece in pieces)) == 16
    assert pieces[-1]["finish_reason"] == "length"


# -- clients that vanish, and load


def test_a_client_that_goes_away_frees_its_slot(server: dict[str, Any]) -> None:
    before = metric(server, "requests_left_total")
    body = {"model": "base", "messages": said("Tell me all."), "max_tokens": 450, "logit_bias": {}, "stream": True}
    body |= {"temperature": 2.0, "top_k": 200}
    with httpx.stream("POST", f"{server['api']}/chat/completions", json=body) as response:
        next(response.iter_bytes())
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(f"{server['api']}/chat/completions", json={**body, "stream": False}, timeout=0.05)
    wait_for(lambda: metric(server, "requests_running") == metric(server, "requests_waiting") == 0)
    assert before <= metric(server, "requests_left_total") <= before + 2


async def load(server: dict[str, Any], clients: int, requests: int, expected: dict[tuple[str, str], str]) -> int:
    """Many clients ask at once, every fifth request is dropped half-way; how many whole answers came."""
    questions = [(model, text) for model, text in expected]
    numbers = iter(range(requests))
    answered = 0

    async def one(session: httpx.AsyncClient) -> None:
        nonlocal answered
        for number in numbers:
            model, text = questions[(7 * number) % len(questions)]
            body = {"model": model, "messages": said(text), "stream": True, **GREEDY}
            pieces = []
            async with session.stream("POST", f"{server['api']}/chat/completions", json=body) as response:
                assert response.status_code == 200
                async for line in response.aiter_lines():
                    if number % 5 == 4:
                        break
                    if line.startswith("data: {"):
                        pieces += [c["delta"].get("content") or "" for c in json.loads(line[6:])["choices"]]
                else:
                    assert "".join(pieces) == expected[model, text]
                    answered += 1

    limits = httpx.Limits(max_connections=clients)
    async with httpx.AsyncClient(timeout=300, limits=limits) as session:
        await asyncio.gather(*(one(session) for _ in range(clients)))
    return answered


def resident(pid: int) -> int:
    """Resident memory of a process, in bytes."""
    status = Path(f"/proc/{pid}/status").read_text("utf-8")
    found = re.search(r"VmRSS:\s*(\d+) kB", status)
    assert found
    return int(found[1]) * 1024


def expectations(server: dict[str, Any]) -> dict[tuple[str, str], str]:
    """What each question to each model is answered with when nobody else asks.

    Rows that are evaluated together are rounded otherwise than alone, so only answers are taken of which every token
    was clearly the likeliest.
    """
    models = ["base", "run:first", "me", "run:first=0.5+run:second=0.5"]
    expected = {}
    for number in range(32):
        model, text = models[number % 4], f"Question number {number}: {'why? ' * (number % 5)}"
        body = {"model": model, "messages": said(text), "logprobs": True, "top_logprobs": 2, **GREEDY}
        choice = httpx.post(f"{server['api']}/chat/completions", json=body, timeout=60).json()["choices"][0]
        likeliest = [one["top_logprobs"] for one in choice["logprobs"]["content"]]
        if min(first["logprob"] - second["logprob"] for first, second in likeliest) > 0.02:
            expected[model, text] = choice["message"]["content"]
    assert {model for model, _ in expected} == set(models)
    assert len(set(expected.values())) > 8
    return expected


@pytest.mark.parametrize(("clients", "requests"), [(12, 60), pytest.param(50, 500, marks=pytest.mark.slow)])
def test_under_load_nothing_is_lost_or_mixed_and_memory_stays(
    server: dict[str, Any], clients: int, requests: int
) -> None:
    expected = expectations(server)
    assert asyncio.run(load(server, clients, requests, expected)) == requests - requests // 5
    before = resident(server["pid"])
    assert asyncio.run(load(server, clients, requests, expected)) == requests - requests // 5
    wait_for(lambda: metric(server, "requests_running") == metric(server, "requests_waiting") == 0)
    assert metric(server, "requests_failed_total") == 0
    assert resident(server["pid"]) - before < 8 << 20
    assert asyncio.run(load(server, 1, 5, expected)) == 4


# -- the parts


def test_a_vocabulary_without_a_space_reads_every_text(place: tuple[Path, Path]) -> None:
    with Vocabulary(place[0]) as vocabulary:
        tokens = vocabulary.tokenize("a b" + 40 * " ")
        assert len(tokens) == 2 + 3 * 41  # a space is written as the three bytes of ▁


def test_clients_take_turns_and_a_full_queue_says_so(place: tuple[Path, Path]) -> None:
    async def ask() -> None:
        engine = Engine(gguf.BaseModel.open(place[0]), context=256, slots=1, queue=5, threads=1)
        try:
            order: list[str] = []

            async def read(job: Job, name: str) -> None:
                async for piece in job.pieces():
                    if piece.finish:
                        order.append(name)

            tokens = engine.model.chat("Hello")

            def job(client: str) -> Job:
                return Job(tokens, (), Draw(temperature=0.0), limit=40, client=client)

            with engine._changed:  # the engine begins when all are there
                jobs = [engine.submit(job("many")) for _ in range(4)]
                jobs.append(engine.submit(job("few")))
                with pytest.raises(ApiError, match="5 requests are waiting") as full:
                    engine.submit(job("late"))
            assert full.value.status == 429
            names = ["m1", "m2", "m3", "m4", "few"]
            await asyncio.gather(*(read(*one) for one in zip(jobs, names, strict=True)))
            assert order == ["m1", "few", "m2", "m3", "m4"]
        finally:
            engine.close()
        with pytest.raises(ApiError, match="shutting down"):
            engine.submit(job("late"))

    asyncio.run(ask())


@pytest.mark.parametrize(
    ("body", "param", "code"),
    [
        ({"messages": []}, "messages", "invalid_value"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].role", "invalid_value"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages[0].content", "invalid_value"),
        ({"temperature": 3}, "temperature", "invalid_value"),
        ({"temperature": True}, "temperature", "invalid_value"),
        ({"top_p": float("nan")}, "top_p", "invalid_value"),
        ({"seed": 1.5}, "seed", "invalid_value"),
        ({"max_tokens": 0}, "max_tokens", "invalid_value"),
        ({"stop": ["x"] * 17}, "stop", "invalid_value"),
        ({"n": 2}, "n", "unsupported_value"),
        ({"tools": [{"type": "function"}]}, "tools", "unsupported_value"),
        ({"response_format": {"type": "json_object"}}, "response_format", "unsupported_value"),
        ({"frobnicate": 1}, "frobnicate", "unknown_parameter"),
        ({"top_logprobs": 2}, "top_logprobs", "invalid_value"),
        ({"stream": "yes"}, "stream", "invalid_type"),
        ({"lora": [{"id": "0", "scale": 1}]}, "lora", None),
    ],
)
def test_what_cannot_be_followed_is_refused_by_name(body: dict[str, Any], param: str, code: str | None) -> None:
    with pytest.raises(ApiError) as refused:
        api.read(json.dumps({"messages": said("Hi"), **body}).encode(), "chat")
    assert (refused.value.param, refused.value.code, refused.value.status) == (param, code, 400)


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"\xff", b"[" * 100_000])
def test_what_is_no_object_is_refused(body: bytes) -> None:
    with pytest.raises(ApiError, match="JSON"):
        api.read(body, "chat")


def test_what_openai_takes_is_read() -> None:
    parts = [{"type": "text", "text": "One"}, {"type": "text", "text": "Two"}]
    messages = [{"role": "developer", "content": "Be brief."}, {"role": "user", "content": parts}]
    body = {
        "messages": messages,
        "user": "bo",
        "seed": -1,
        "max_completion_tokens": 5,
        "top_p": 0,
        "n": 1,
        "stop": None,
    }
    request = api.read(json.dumps(body).encode(), "chat")
    assert request.messages == ({"role": "system", "content": "Be brief."}, {"role": "user", "content": "One\nTwo"})
    assert (request.max_tokens, request.draw.seed, request.draw.temperature) == (5, 4294967295, 0.0)
    assert (request.stop, request.user, request.model, request.stream) == ((), "bo", "", False)


def test_the_guard_asks_for_the_key_but_where_nothing_is_told() -> None:
    async def inside(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"in"})

    async def ask() -> None:
        guard = Guard(inside, key="s3cret", hosts=LOOPBACK, origins=["https://app.example"])
        transport = httpx.ASGITransport(guard)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080") as client:
            assert (await client.get("/")).status_code == (await client.get("/health")).status_code == 200
            assert (await client.get("/v1/models")).json()["error"]["code"] == "invalid_api_key"
            for headers in ({"Authorization": "Bearer s3cret"}, {"x-api-key": "s3cret"}):
                assert (await client.get("/v1/models", headers=headers)).text == "in"
            assert (await client.get("/me", headers={"Authorization": "Bearer s3cre"})).status_code == 401
            app = {"Origin": "https://app.example"}
            asked = await client.options(
                "/v1/models", headers=app | {"Access-Control-Request-Headers": "authorization"}
            )
            assert asked.headers["access-control-allow-headers"] == "authorization"
            answer = await client.get("/v1/models", headers=app | {"Authorization": "Bearer s3cret"})
            assert answer.headers["access-control-allow-origin"] == "https://app.example"
            assert (await client.options("/v1/models", headers={"Origin": "https://x.example"})).status_code == 403
            assert (await client.get("/health", headers={"Host": "x.example"})).status_code == 403

    asyncio.run(ask())


def test_another_address_needs_a_key(place: tuple[Path, Path]) -> None:
    with served(place[0], "--context", "256", "--host", "0.0.0.0", XPERT_HOME=str(place[1])) as server:
        assert re.fullmatch(r"xpert-[\w-]{32}", server["key"])
        assert httpx.get(f"{server['api']}/models").status_code == 401
        told = httpx.get(f"{server['api']}/models", headers={"Authorization": f"Bearer {server['key']}"})
        assert told.status_code == 200
        assert httpx.get(f"{server['url']}/health").status_code == 200


def test_an_address_that_is_taken_is_said() -> None:
    first = Address.bind("127.0.0.1", 0)
    first.socket.listen()
    with pytest.raises(BadInput, match=f"cannot listen at 127.0.0.1 port {first.port}"):
        Address.bind("127.0.0.1", first.port)
    assert first.local
    assert first.url == f"http://127.0.0.1:{first.port}"
    first.socket.close()
    everywhere = Address.bind("0.0.0.0", 0)
    assert not everywhere.local
    everywhere.socket.close()


def test_without_the_extra_it_says_what_to_install() -> None:
    from command import xpert

    done = xpert("serve", "--port", "0", hide=("uvicorn",))
    assert done.returncode == 1
    assert "pip install 'xpert-cli[serve]'" in done.stderr
    assert str(ROOT) not in done.stdout
