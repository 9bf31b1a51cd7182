"""From many numbers to fewer."""
