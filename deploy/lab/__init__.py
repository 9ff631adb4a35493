"""Any commune's inventory as containers, with no route out."""
