"""How ``bench/peers.py`` has other tools measure."""
