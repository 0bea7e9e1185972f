"""The exchanges, a folder for each: the only code that communicates with them and knows their peculiarities."""
