"""The settings of what is kept about mail, and of the logs."""

from __future__ import annotations

from typing import Literal

from gatepost.config.schema import Duration, Size, Table, setting, size


class Records(Table):
    """[records]: what is kept about mail, and how long."""

    tracking_age_s: Duration = setting("How long tracking is kept", default=2592000.0, low=60)
    agent_log_age_s: Duration = setting("How long the agent log is kept", default=2592000.0, low=60)
    dossier_age_s: Duration = setting(
        "How long facts and verdicts are kept, for explain and replay", default=2592000.0, low=60
    )
    size_bytes: Size = setting(
        "Size of tracking, agent log, facts and verdicts of one worker beyond which the oldest go before their age; "
        "0B: no limit",
        default=size(20, "GiB"),
        low=0,
    )
    subjects: bool = setting("Keep subjects in tracking", default=True)


class Log(Table):
    """[log]: what is written, and where."""

    level: Literal["debug", "info", "warning", "error"] = setting("The least important line", default="info")
    file: str = setting("File to append to; empty: standard error", default="")


class WireLogs(Table):
    """[wire-logs]: CSV files of what was said on connections, one set for each worker."""

    connectivity: bool = setting(
        "Write a line for each connection to a next hop: opened, failed, closed (CONNECTLOG files)",
        default=False,
    )
    file_bytes: Size = setting("Size at which a new file is begun", default=size(10, "MiB"), low=4096)
    directory_bytes: Size = setting(
        "Size of all files of one kind above which the oldest are removed", default=size(250, "MiB"), low=8192
    )
    age_s: Duration = setting("Age at which a file is removed; 0s: never", default=2592000.0, low=0)
