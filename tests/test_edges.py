"""Every place that catches all exceptions is an edge, known by name: a new one is a decision, not an accident."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

SOURCE = Path(__file__).parent.parent / "src" / "gatepost"
BROAD = {"Exception", "BaseException"}

EDGES = {
    # Clean up what was begun, then let the exception go on.
    "adapters/replacing.py:replace_file",
    "adapters/maildir.py:LocalMaildirs.deliver",
    "adapters/shared_file.py:SharedFile.__init__",
    "adapters/shared_file.py:SharedFile.exchange",
    "adapters/ldap.py:LdapConnection.__init__",
    "adapters/report_store.py:_transaction",
    "delivery/call_forward.py:CallForward._asked",
    "delivery/call_forward.py:CallForward._connect",
    "intake/taking_in.py:TakingIn._act_later",
    "intake/taking_in.py:TakingIn._keep",
    # A library that reads strangers' octets: whatever it raises, nobody has logged in.
    "adapters/kerberos.py:guarded",
    "adapters/ldap.py:LdapConnection._messages",
    # A stranger's report: whatever is wrong with it, its mail goes on.
    "delivery/report_inbox.py:ReportInbox.take",
    # A library that reads an administrator's filter: a mistake in the configuration.
    "adapters/ldap.py:ldap_filter",
    # The thread that copies a directory: the copy in force stays, the administrator is told.
    "main/scan_worker.py:_Desk.answer",
    "main/directories.py:RecipientSources._sync",
    "main/directories.py:in_own_thread.run",
    # The store: whoever waits is told, the connection is renewed.
    "adapters/sqlite_groups.py:CommitGroups._tell",
    "adapters/sqlite_groups.py:CommitGroups._write_waiting",
    "adapters/sqlite_groups.py:_run",
    # The thread of the shared state: it lives on, and says what happened.
    "adapters/shared_store.py:SharedStore._run",
    # Agents of third parties are made before a gateway goes on with them: a mistake in the configuration.
    "main/agent_trial.py:tried",
    # A command of the administrator: a sentence instead of a traceback.
    "cli/front.py:Front.invoke",
    # A delivery attempt, and the task that looks for due mail: the mail stays queued.
    "delivery/scheduler.py:Scheduler._deliver",
    "delivery/scheduler.py:Scheduler._pump",
    # A child of the supervisor: its last words.
    "main/supervisor.py:Supervisor._start",
    # What a worker does again and again: it is told, and done again in its time.
    "main/duties.py:again_and_again",
    # A session: 451, never an acceptance and never a bounce.
    "intake/connection.py:Connection._go_on",
    "intake/connection.py:Connection._wait_for.done",
    # A bug in a third party's agent or fact is counted, and raised again.
    "policy/fuses.py:Fuses.run",
    # A fact that cannot be gathered is unknown; an agent with a bug defers; third parties' files are refused.
    "policy/gathering.py:Knowledge._begin",
    "policy/gathering.py:Knowledge._find",
    "policy/gathering.py:Knowledge._settled",
    "policy/gathering.py:Knowledge.gather",
    "policy/hearing.py:Hearing._hear",
    # What a future failed with goes on to the coroutine that waits for it.
    "facts/first_step.py:Rest.__await__",
    "policy/third_party.py:_installed",
    "policy/third_party.py:_loaded",
}


def names_in(node: ast.expr | None) -> set[str]:
    if node is None:
        return {"BaseException"}
    parts = node.elts if isinstance(node, ast.Tuple) else [node]
    return {part.id for part in parts if isinstance(part, ast.Name)}


def broad_handlers(tree: ast.AST, inside: str = "") -> Iterator[str]:
    for child in ast.iter_child_nodes(tree):
        name = inside
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            name = f"{inside}.{child.name}" if inside else child.name
        if isinstance(child, ast.ExceptHandler) and names_in(child.type) & BROAD:
            yield name
        yield from broad_handlers(child, name)


def test_every_edge_is_listed() -> None:
    found = {
        f"{path.relative_to(SOURCE)}:{name}"
        for path in SOURCE.rglob("*.py")
        for name in broad_handlers(ast.parse(path.read_text("utf-8")))
    }
    assert found == set(EDGES)
