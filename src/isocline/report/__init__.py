"""Tables, pictures and the files they are written to; one file per table and per picture."""
