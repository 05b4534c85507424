"""What the RFCs compute of a sender, from texts and a resolver passed in: SPF, Sender ID, SRS, tagged senders."""
