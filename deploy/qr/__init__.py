"""QR codes on paper and on screens: made by `code`, put on a page of a PDF by `stamp`."""
