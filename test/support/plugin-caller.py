"""Calls a plugin as Nova and xapi do, and checks what comes back as they do: JSON requests and answers, one a line.

Request:
    command      the plugin, and what it is run with
    argv         in place of all below: the arguments as they are
    fn           the function
    kwargs,args  pickled as Nova has done since 2012-09
    pickled      in place of them: the pickle itself
    reply        "text": Value of the reply is neither a pickle nor JSON
    members      in place of them: the members of the struct, as an operator or another program gives them
    stdout       in place of a file: "pipe", which never blocks its writer, or "gone", a pipe that nobody reads
    signals      sent to the plugin, one when it has said "working", another when it has said "stopping", on stderr
    when         in place of that: "requested", by a line that follows the request
    env          besides what xapi sets

Answer:
    status, stderr
    reply        the struct that the plugin answers
    value        Value of the reply, read as a pickle where the arguments were one of "args" and "kwargs", else as JSON
"""

import json
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import threading
import xmlrpc.client

ENVIRONMENT = {"PATH": "/sbin:/usr/sbin:/bin:/usr/bin"}
SESSION = "OpaqueRef:8f4b9a4e-6b43-4ad9-92a1-2a57a0a0f5d5"
HOST = "5c1f2e86-3c3a-4a53-8df7-f5f6cf3ff8a7"

# Seconds for one call, less than a test has: a plugin that hangs is killed, and its status tells so.
LIMIT = 100


def members_of(request):
    if "members" in request:
        return request["members"]
    if "pickled" in request:
        return {"params": request["pickled"], "host_uuid": HOST}
    call = dict(args=tuple(request.get("args", ())), kwargs=request.get("kwargs", {}))
    return {"params": pickle.dumps(call, 0).decode("latin-1"), "host_uuid": HOST}


def argument(fn, members):
    """xapi writes the call anew: no declaration, no line feeds of its own, strings without their tag."""
    text = xmlrpc.client.dumps((SESSION, members), xmlrpc.client.escape(fn))
    text = text.replace("<?xml version='1.0'?>\n", "").replace(">\n<", "><").strip()
    return text.replace("<value><string></string></value>", "<value/>").replace("<string>", "").replace("</string>", "")


def start(command, stdout, stderr, env={}):
    env = {**ENVIRONMENT, **env}
    plugin = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr, env=env, close_fds=True)
    plugin.limit = threading.Timer(LIMIT, plugin.kill)
    plugin.limit.start()
    return plugin


def run(command, signals=(), when=None, env={}):
    """xapi gives a plugin files, and reads them when it has ended."""
    with tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr:
        plugin = start(command, stdout, subprocess.PIPE if signals and when is None else stderr, env)
        try:
            heard = []
            for name in signals if when == "requested" else ():
                sys.stdin.readline()
                plugin.send_signal(getattr(signal, name))
            waiting = list(zip(signals, ("working", "stopping")))
            for line in plugin.stderr or ():
                heard.append(line.decode())
                if waiting and line.decode().startswith(waiting[0][1]):
                    plugin.send_signal(getattr(signal, waiting.pop(0)[0]))
            status = plugin.wait()
        finally:
            finish(plugin)
        stdout.seek(0)
        stderr.seek(0)
        return status, stdout.read().decode(), "".join(heard) or stderr.read().decode()


def run_into_pipe(command, kind):
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    if kind == "gone":
        os.close(reader)
    plugin = start(command, writer, subprocess.DEVNULL)
    try:
        os.close(writer)
        read = b""
        if kind == "pipe":
            with open(reader, "rb") as pipe:
                read = pipe.read()
        return plugin.wait(), read.decode(), ""
    finally:
        finish(plugin)


def finish(plugin):
    plugin.limit.cancel()
    plugin.kill()
    plugin.wait()
    if plugin.stderr:
        plugin.stderr.close()


def answer_to(request):
    argv = request["argv"] if "argv" in request else [argument(request["fn"], members_of(request))]
    command = request["command"] + argv
    if "stdout" in request:
        status, stdout, stderr = run_into_pipe(command, request["stdout"])
    else:
        status, stdout, stderr = run(command, **{key: request[key] for key in ("signals", "when", "env") if key in request})
    answer = {"status": status, "stderr": stderr}
    try:
        # The parser takes one whole document, and nothing before or after it.
        (reply,), _ = xmlrpc.client.loads(stdout)
        answer["reply"] = reply
        if reply["Status"] == "Success" and request.get("reply") != "text":
            value = reply["Value"]
            answer["value"] = json.loads(value) if "members" in request else pickle.loads(value.encode("ascii"))
    except Exception as error:
        answer["unreadable"] = {"error": repr(error), "stdout": stdout}
    return answer


for line in iter(sys.stdin.readline, ""):
    print(json.dumps(answer_to(json.loads(line))), flush=True)
