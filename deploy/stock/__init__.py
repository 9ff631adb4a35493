"""lienxa for the stock pyinfra command: an inventory connector, and what `deploy/site.py` does as a deploy file."""
