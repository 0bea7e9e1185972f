"""A Bitfinex-shaped exchange on loopback, to rehearse a deployment and to test against."""
