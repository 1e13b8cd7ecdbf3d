"""The executor's subcommands: each takes one request value and gives one result value (see ``requests``)."""
