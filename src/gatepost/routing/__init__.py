"""Where a mail goes next: accepted domains, send connectors, next hops and the hosts behind them."""
