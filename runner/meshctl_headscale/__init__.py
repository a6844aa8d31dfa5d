"""meshctl: bring up a Headscale mesh, prove what it promises, and say what is wrong when it does not hold."""
