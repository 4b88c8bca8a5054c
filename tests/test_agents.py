"""The endpoints as tools for agents: the setting, what is told where `mcp` is missing, tools listed and called."""

import asyncio
import base64
import io
import json
import sys
from argparse import ArgumentParser
from types import SimpleNamespace

import gradio as gr
import numpy as np
import pytest
from mcp import ClientSession
from mcp.client.streamable_http import streamablehttp_client
from PIL import Image

import app
from degradations import degrade
from demo import agents, api
from demo.annotate.access import Access
from demo.compare.answering import Answers
from demo.examples import load_examples
from demo.share import endpoints as share_endpoints
from demo.share.actions import Sharing
from demo.store.database import Store, default_url
from demo.sweep import endpoints as sweep_endpoints
from demo.vote import endpoints as vote_endpoints
from demo.vote.voting import Voting

TOOLS = {
    "degrade_photo", "compare_models", "run_sweep", "run_matrix", "export_sweep", "export_matrix", "record_run",
    "read_run", "draw_card", "make_link", "open_link", "share_photo", "delete_shared_photo", "list_shared_photos",
    "remove_shared_photo", "ask_blind", "vote", "vote_results", "export_votes",
}  # fmt: skip


def chosen(*line: str):
    parser = ArgumentParser()
    agents.add_arguments(parser)
    return parser.parse_args(line)


def test_agents_are_served_only_where_that_is_wanted():
    assert not agents.wanted(chosen(), {})
    assert not agents.wanted(chosen(), {"DEMO_MCP": "0"})
    assert agents.wanted(chosen(), {"DEMO_MCP": "1"})
    assert agents.wanted(chosen("--mcp"), {})
    assert not agents.wanted(chosen("--no-mcp"), {"DEMO_MCP": "1"}), "the command line comes first"
    with pytest.raises(agents.NoMcpError, match="maybe"):
        agents.wanted(chosen(), {"DEMO_MCP": "maybe"})


def test_what_is_missing_is_named_before_a_model_is_loaded(monkeypatch, capsys):
    monkeypatch.setattr(agents, "find_spec", lambda name: None)
    monkeypatch.setattr(app, "load_pair", lambda spec: pytest.fail("a model was loaded"))
    monkeypatch.setattr(sys, "argv", ["app.py", "--mcp"])
    with pytest.raises(SystemExit):
        app.main()
    assert "pip install -r requirements-mcp.txt" in capsys.readouterr().err
    assert not agents.wanted(chosen(), {})


def test_gradio_does_not_go_on_without_agents_unseen():
    agents.check(SimpleNamespace(mcp_error=None), True)
    agents.check(SimpleNamespace(mcp_error="no"), False)
    with pytest.raises(agents.NoMcpError, match="the reason"):
        agents.check(SimpleNamespace(mcp_error="the reason"), True)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """The address of a server with the endpoints, but without models."""
    folder = tmp_path_factory.mktemp("agents")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("GRADIO_TEMP_DIR", str(folder))
        examples = load_examples()
        pair = SimpleNamespace(max_new_tokens=50, sides=(), fit=lambda image: image)
        bench, store = api.Workbench(pair), Store(default_url(folder))
        service = SimpleNamespace(access=Access(), store=store)
        with gr.Blocks(title="tools") as blocks:
            api.register(bench)
            sweep_endpoints.register(bench)
            share_endpoints.register(bench, Sharing(bench, examples, Answers(bench, examples, None), None), service)
            vote_endpoints.register(Voting(bench, examples, store), service)
        _, address, _ = blocks.queue().launch(
            mcp_server=True, prevent_thread_lock=True, quiet=True, server_name="127.0.0.1", ssr_mode=False
        )
        agents.check(blocks, True)
        yield address
        blocks.close()


def ask(address: str, talk):
    """What an agent gets to know in one session."""

    async def session():
        async with (
            streamablehttp_client(f"{address}gradio_api/mcp/") as (reading, writing, _),
            ClientSession(reading, writing) as client,
        ):
            await client.initialize()
            return await talk(client)

    return asyncio.run(session())


def test_every_endpoint_is_a_tool_that_says_what_it_takes(server):
    listed = ask(server, lambda client: client.list_tools()).tools
    assert {tool.name for tool in listed} == TOOLS
    for tool in listed:
        assert len(tool.description) > 40, tool.name
        for name, parameter in tool.inputSchema["properties"].items():
            assert parameter.get("description"), f"{tool.name} does not say what {name} is"


def test_an_agent_degrades_a_photo(server):
    pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    photo = f"data:image/png;base64,{base64.b64encode(out.getvalue()).decode()}"
    asked = {"image": photo, "recipe": "lens blur(0.5)", "seed": 3}
    answer = ask(server, lambda client: client.call_tool("degrade_photo", asked))
    assert not answer.isError
    picture = Image.open(io.BytesIO(base64.b64decode(answer.content[0].data)))
    assert np.array_equal(np.asarray(picture.convert("RGB")), np.asarray(degrade(pixels, "lens blur(0.5)", 3)))
    wrong = ask(server, lambda client: client.call_tool("degrade_photo", asked | {"recipe": "sunshine(1)"}))
    assert wrong.isError and "unknown degradation" in wrong.content[0].text


def test_an_agent_makes_and_reads_a_link(server):
    link = {"link": "https://here/?question=Who%3F&recipe=lens+blur(0.5)&seed=3"}
    answer = ask(server, lambda client: client.call_tool("open_link", link))
    assert not answer.isError and "Who?" in answer.content[0].text
    results = ask(server, lambda client: client.call_tool("vote_results", {}))
    assert not results.isError and json.loads(results.content[0].text.replace("'", '"')) == []
