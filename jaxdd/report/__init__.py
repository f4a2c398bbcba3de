"""What a run has to say: tables, pictures, the page."""
