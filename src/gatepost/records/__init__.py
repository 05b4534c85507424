"""What happened to a mail is written down here: tracking, the agent log, the names of the counters."""
