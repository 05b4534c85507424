"""Mail flows while the gateway is killed again and again; afterwards every promise is compared with what arrived."""
