"""What the RFCs compute of a sender: SPF, DKIM, DMARC, ARC. Nothing yet: sender authentication is to come."""
